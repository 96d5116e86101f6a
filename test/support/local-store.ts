// The SQLite store on the caller's own thread: the same statements on the same engine, but when a call is done and when
// it is answered is the simulation's to say. A crash is an object that is let go: what it had committed stays.
import Database from 'better-sqlite3'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CompleteBudget } from '../../src/contract/budgets.ts'
import type { Db } from '../../src/store/sqlite/db.ts'
import { openWriter } from '../../src/store/sqlite/file/open.ts'
import { auditReading } from '../../src/store/sqlite/tables/audit.ts'
import type { PackedPart } from '../../src/store/sqlite/tables/output.ts'
import { OutputReader } from '../../src/store/sqlite/tables/output-reader.ts'
import { DamageLog } from '../../src/store/sqlite/tables/damage.ts'
import { Reading } from '../../src/store/sqlite/engine/read.ts'
import { definitionTables } from '../../src/store/sqlite/tables/definitions.ts'
import { Sources } from '../../src/store/sqlite/tables/sources.ts'
import { Work } from '../../src/store/sqlite/engine/operations.ts'
import type { PackedEvent, WriteOp } from '../../src/store/sqlite/engine/protocol.ts'
import type { AcceptOutcome, LifecycleEvents, NewRun, StartAnswer, Store } from '../../src/store/store.ts'

let template: Buffer | undefined

/** An empty database as a router makes it, in memory: made once and copied. */
export function freshDatabase(): Db {
  if (template === undefined) {
    const directory = mkdtempSync(join(tmpdir(), 'sb-'))
    const { db } = openWriter(directory)
    db.pragma('journal_mode = DELETE')
    template = db.serialize()
    db.close()
    rmSync(directory, { recursive: true })
  }
  return new Database(template)
}

/** What guards runs; 'none': a move is made whoever holds the run; 'no_repeat_limit': no run has such a gate. */
export type Guard = 'lease' | 'none' | 'no_repeat_limit'

function withoutRepeatLimit(run: NewRun): NewRun {
  const { repeat_limit: _, ...flow } = run.flow ?? {}
  return { ...run, flow }
}

export interface LocalStoreOptions {
  db: Db
  lifecycle: LifecycleEvents
  guard: Guard
  /** Does work at some time to come; what goes the same way stays in order. */
  later: (way: 'commit' | 'answer' | 'read', work: () => void) => void
  /** After every transaction. */
  committed: () => void
  /** those of the configuration */
  budgets?: readonly CompleteBudget[]
}

export class LocalStore implements Store {
  onDue: Store['onDue'] = () => undefined
  onDueAt: Store['onDueAt'] = () => undefined
  onLogged: Store['onLogged'] = () => undefined
  onUnrouted: Store['onUnrouted'] = () => undefined
  onRunChange: Store['onRunChange'] = () => undefined
  onRunsCounted: Store['onRunsCounted'] = () => undefined
  onGatesCounted: Store['onGatesCounted'] = () => undefined
  onDamage: Store['onDamage'] = () => undefined
  readonly pendingWrites = 0
  readonly #options: LocalStoreOptions
  readonly #work: Work
  readonly #reading: Reading
  readonly #output: OutputReader
  readonly #auditEntries: ReturnType<typeof auditReading>
  readonly #definitions: ReturnType<typeof definitionTables>
  readonly #sources: Sources
  #alive = true

  constructor(options: LocalStoreOptions) {
    this.#options = options
    this.#work = new Work(options.db, options.lifecycle, undefined, options.budgets)
    this.#reading = new Reading(options.db)
    this.#output = new OutputReader(options.db, new DamageLog())
    this.#auditEntries = auditReading(options.db, new DamageLog())
    this.#sources = new Sources(options.db)
    this.#definitions = definitionTables(options.db, this.#sources)
  }

  /** Nothing is done or answered any more. */
  crash(): void {
    this.#alive = false
  }

  /** What a crash leaves behind is never damage: an examination that finds some at a start is wrong. */
  start = async (now: number): Promise<StartAnswer> => {
    const answer = this.#work.start(now)
    if (answer.damage.length > 0)
      throw new Error(`damage was found where there is none: ${answer.damage.join('; ')}`)
    return answer
  }
  stop = async (): Promise<void> => this.crash()

  /** Commits at one time, and answers at a later one: in between the caller may be gone. */
  #write<T>(operation: WriteOp, body: ArrayBuffer = new ArrayBuffer(0)): Promise<T> {
    const { db, later, committed } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    later('commit', () => {
      if (!this.#alive) return
      let answer: T
      try {
        answer = db.transaction(() => this.#work.perform(operation, body)).immediate() as T
      } catch (error) {
        this.#work.rolledBack()
        return reject(error)
      }
      committed()
      const { due, next_at, logged, changed, unrouted, damage } = this.#work.told()
      later('answer', () => {
        if (!this.#alive) return
        resolve(structuredClone(answer))
        if (damage.length > 0) this.onDamage(damage)
        if (due.length > 0) this.onDue(due)
        if (next_at !== null) this.onDueAt(next_at)
        if (logged) this.onLogged()
        if (changed.length > 0) this.onRunChange(changed)
        if (unrouted) this.onUnrouted()
      })
      return undefined
    })
    return promise
  }

  #read<T>(read: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#options.later('read', () => {
      if (!this.#alive) return
      try {
        resolve(structuredClone(read()))
      } catch (error) {
        reject(error)
      }
    })
    return promise
  }

  accept(...[events, limits]: Parameters<Store['accept']>): Promise<AcceptOutcome[]> {
    const bytes = Buffer.concat(events.map(event => event.body))
    let at = 0
    const packed = events.map(({ body, ...event }): PackedEvent => {
      at += body.byteLength
      const runs = this.#options.guard === 'no_repeat_limit' ? event.runs.map(withoutRepeatLimit) : event.runs
      return { ...event, runs, body_at: at - body.byteLength, body_length: body.byteLength }
    })
    return this.#write({ op: 'accept', events: packed, limits }, new Uint8Array(bytes).buffer)
  }

  appendOutput(...[parts, limits]: Parameters<Store['appendOutput']>): Promise<void> {
    let at = 0
    const packed = parts.map(({ content, ...part }): PackedPart => {
      at += content.byteLength
      return { ...part, body_at: at - content.byteLength, body_length: content.byteLength }
    })
    return this.#write(
      { op: 'append_output', parts: packed, limits },
      new Uint8Array(Buffer.concat(parts.map(part => part.content))).buffer,
    )
  }

  output: Store['output'] = request => this.#read(() => this.#output.page(request))
  claim: Store['claim'] = (...args) => this.#write({ op: 'claim', args })
  move: Store['move'] = asked => {
    const unguarded = asked.map(({ lease_token: _t, expired_at: _e, ...move }) => move)
    return this.#write({ op: 'move', moves: this.#options.guard === 'none' ? unguarded : asked })
  }
  replay: Store['replay'] = (...args) => this.#write({ op: 'replay', args })
  write: Store['write'] = (...args) => this.#write({ op: 'write', args })
  retain: Store['retain'] = limits => this.#write({ op: 'retain', limits })
  giveBack: Store['giveBack'] = request => this.#write({ op: 'give_back', request })
  space: Store['space'] = () => this.#read(() => this.#reading.space())
  setPaused: Store['setPaused'] = (...args) => this.#write({ op: 'set_paused', args })
  setBotStatus: Store['setBotStatus'] = (...args) => this.#write({ op: 'set_bot_status', args })
  pauseTrigger: Store['pauseTrigger'] = (...args) => this.#write({ op: 'pause_trigger', args })
  resumeTrigger: Store['resumeTrigger'] = (...args) => this.#write({ op: 'resume_trigger', args })
  emitLifecycle: Store['emitLifecycle'] = (...args) => this.#write({ op: 'emitLifecycle', args })
  route: Store['route'] = (...args) => this.#write({ op: 'route', args })
  queueCounts: Store['queueCounts'] = () => this.#write({ op: 'queue_counts' })
  ping = async (): Promise<void> => {
    await this.#write({ op: 'ping' })
  }
  skipTicks: Store['skipTicks'] = skipped => this.#write({ op: 'skip_ticks', skipped })
  noteRefused: Store['noteRefused'] = batch => this.#write({ op: 'note_refused', batch })
  putToken: Store['putToken'] = token => this.#write({ op: 'put_token', token })
  revokeToken: Store['revokeToken'] = (...args) => this.#write({ op: 'revoke_token', args })
  noteTokenUses: Store['noteTokenUses'] = uses => this.#write({ op: 'note_token_uses', uses })
  audit: Store['audit'] = rows => this.#write({ op: 'audit', rows })
  auditEntries: Store['auditEntries'] = page => this.#read(() => this.#auditEntries(page))
  noteSource: Store['noteSource'] = note => this.#write({ op: 'note_source', note })
  unseen: Store['unseen'] = (...args) => this.#read(() => this.#sources.unseen(...args))
  forgetItem: Store['forgetItem'] = (...args) => this.#write({ op: 'forget_item', args })
  fileSets: Store['fileSets'] = () => this.#read(() => this.#definitions.fileSets())
  contextFiles: Store['contextFiles'] = id => this.#read(() => this.#reading.contextFiles(id))
  ticks: Store['ticks'] = page => this.#read(() => this.#sources.ticks(page))
  event: Store['event'] = id => this.#read(() => this.#reading.event(id))
  events: Store['events'] = page => this.#read(() => this.#reading.events(page))
  originsSince: Store['originsSince'] = () => this.#read(() => this.#reading.originsSince())
  cause: Store['cause'] = id => this.#read(() => this.#reading.cause(id))
  run: Store['run'] = id => this.#read(() => this.#reading.run(id))
  runEvents: Store['runEvents'] = run_id => this.#read(() => this.#reading.runEvents(run_id))
  runs: Store['runs'] = page => this.#read(() => this.#reading.runs(page))
  override: Store['override'] = id => this.#read(() => this.#reading.override(id))
  history: Store['history'] = id => this.#read(() => this.#reading.history(id))
  stuck: Store['stuck'] = (...args) => this.#read(() => this.#reading.stuck(...args))
  unrouted: Store['unrouted'] = limit => this.#read(() => this.#reading.unrouted(limit))
  nextSeq: Store['nextSeq'] = after => this.#read(() => this.#reading.nextSeq(after))
  lastSeq: Store['lastSeq'] = () => this.#read(() => this.#reading.lastSeq())
  stats: Store['stats'] = since => this.#read(() => this.#reading.stats(since))
  budgetUses: Store['budgetUses'] = (...args) => this.#read(() => this.#reading.budgetUses(...args))
  usage: Store['usage'] = (...args) => this.#read(() => this.#reading.usage(...args))
  counts: Store['counts'] = () => this.#read(() => this.#reading.counts())
  facts: Store['facts'] = () => this.#read(() => this.#reading.facts())
  sourceStats: Store['sourceStats'] = () => this.#read(() => this.#reading.sourceStats())
  triggerVersion: Store['triggerVersion'] = (...args) =>
    this.#read(() => this.#definitions.triggerVersion(...args))
  triggerVersions: Store['triggerVersions'] = (...args) =>
    this.#read(() => this.#definitions.triggerVersions(...args))
}
