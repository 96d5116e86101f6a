// What each operation of the writing thread does, inside the transaction of its group.
import type { CompleteBudget } from '../../../contract/budgets.ts'
import type { TriggerInput } from '../../../contract/types.ts'
import { noToolLimits, ToolRules, type ToolLimits } from '../../../tools.ts'
import type {
  ClaimAnswer,
  ClaimRequest,
  DefinitionChange,
  LifecycleEvents,
  NewEvent,
  RefusedRow,
  RetentionLimits,
  StartAnswer,
  TokenRow,
} from '../../store.ts'
import { fromThread } from '../../../exact-json.ts'
import { Accepting } from '../flow/accept.ts'
import { Admission } from '../flow/admission.ts'
import { Burial } from '../flow/burial.ts'
import { claiming } from '../flow/claim.ts'
import type { Claiming } from '../flow/claim-request.ts'
import { movedBack } from '../flow/clock-step.ts'
import { definitionTables, type DefinitionTables } from '../tables/definitions.ts'
import { DamageLog } from '../tables/damage.ts'
import { EventLog } from '../tables/event-log.ts'
import { Examination } from '../flow/examination.ts'
import { GateCounting } from '../tables/gate-counts.ts'
import { History } from '../tables/history.ts'
import { Lanes } from '../flow/lanes.ts'
import { Moving } from '../flow/moves.ts'
import { Output } from '../tables/output.ts'
import type { Db } from '../db.ts'
import type { PackedEvent, Told, WriteOp } from './protocol.ts'
import { Queues } from '../flow/queues.ts'
import { connectionFacts } from './read.ts'
import { RefusedTable } from '../tables/refused.ts'
import { AuditTable } from '../tables/audit.ts'
import { Soon } from '../next-due.ts'
import { Sources } from '../tables/sources.ts'
import { giveBack } from '../space.ts'
import { standing, type Standing } from '../tables/router-state.ts'
import { TokenTable } from '../tables/tokens.ts'
import { TriggerPausing } from '../flow/trigger-pausing.ts'
import { Retaining } from '../flow/retention.ts'
import { Usage } from '../tables/usage.ts'

function unpacked(event: PackedEvent, bodies: ArrayBuffer): NewEvent {
  return { ...event, body: new Uint8Array(bodies, event.body_at, event.body_length) }
}

export class Work {
  readonly #db: Db
  readonly #log: EventLog
  readonly #history: History
  readonly #soon = new Soon()
  readonly #lanes: Lanes
  readonly #queues: Queues
  readonly #moving: Moving
  readonly #accepting: Accepting
  readonly #claiming: Claiming
  readonly #standing: Standing
  readonly #pausing: TriggerPausing
  readonly #definitions: DefinitionTables
  readonly #sources: Sources
  readonly #retaining: Retaining
  readonly #usage: Usage
  readonly #output: Output
  readonly #refused: RefusedTable
  readonly #tokens: TokenTable
  readonly #audit: AuditTable
  readonly #damage = new DamageLog()
  readonly #counts = new GateCounting()
  readonly #examination: Examination
  readonly #ping
  readonly #waiting
  readonly #unrouted

  /** budgets: those of the configuration */
  constructor(
    db: Db,
    lifecycle: LifecycleEvents,
    toolLimits: ToolLimits = noToolLimits,
    budgets: readonly CompleteBudget[] = [],
  ) {
    this.#db = db
    this.#log = new EventLog(db, this.#damage)
    this.#history = new History(db, this.#log, lifecycle, this.#damage)
    this.#lanes = new Lanes(
      db,
      { history: this.#history, damage: this.#damage, counts: this.#counts },
      budgets,
    )
    this.#queues = new Queues(db, this.#lanes.rings, this.#lanes.due, this.#damage)
    const gates = {
      lanes: this.#lanes,
      queues: this.#queues,
      history: this.#history,
      soon: this.#soon,
      damage: this.#damage,
      counts: this.#counts,
    }
    this.#moving = new Moving(db, gates)
    const common = { ...gates, moving: this.#moving }
    const parts = { ...common, burial: new Burial(db, common) }
    this.#examination = new Examination(db, parts)
    this.#sources = new Sources(db)
    this.#accepting = new Accepting(db, {
      ...parts,
      log: this.#log,
      admission: new Admission(db, parts),
      sources: this.#sources,
    })
    this.#claiming = claiming(db, parts, new ToolRules(toolLimits))
    this.#standing = standing(db)
    this.#pausing = new TriggerPausing(db, gates)
    this.#definitions = definitionTables(db, this.#sources, this.#damage)
    this.#output = new Output(db, this.#damage)
    this.#retaining = new Retaining(
      db,
      { lanes: this.#lanes, output: this.#output, damage: this.#damage },
      hashes => this.#accepting.forget(hashes),
    )
    this.#usage = new Usage(db, this.#damage)
    this.#refused = new RefusedTable(db, this.#damage)
    this.#tokens = new TokenTable(db, this.#damage)
    this.#audit = new AuditTable(db, this.#damage)
    this.#ping = db.prepare('SELECT count(*) FROM meta').pluck()
    this.#unrouted = db.prepare('SELECT 1 FROM unrouted LIMIT 1').pluck()
    this.#waiting = db
      .prepare<[], string>(
        "SELECT DISTINCT bot_id FROM outbox INDEXED BY outbox_due WHERE state = 'pending' AND ready = 1 AND parked_on IS NULL",
      )
      .pluck()
  }

  perform(operation: WriteOp, bodies: ArrayBuffer): unknown {
    switch (operation.op) {
      case 'accept':
        return this.#accepting.accept(
          operation.events.map(event => unpacked(event, bodies)),
          operation.limits,
        )
      case 'append_output':
        return this.#output.append(operation.parts, bodies, operation.limits)
      case 'claim':
        return this.#claim(...operation.args)
      case 'move': {
        const { outcomes, openDelta } = this.#moving.move(operation.moves)
        this.#accepting.adjustOpenRuns(openDelta)
        return outcomes
      }
      case 'replay':
        return this.#accepting.replay(...operation.args)
      case 'write': {
        const [changes, owned] = fromThread(operation.args)
        const outcome = this.#definitions.write(changes, owned)
        if (outcome.kind === 'written') this.#wrote(changes)
        return outcome
      }
      case 'route':
        return this.#accepting.route(...operation.args)
      case 'emitLifecycle':
        return this.#history.emitLifecycle(...operation.args)
      case 'retain':
        return this.#retain(operation.limits)
      case 'give_back':
        return giveBack(this.#db, operation.request)
      case 'skip_ticks':
        return this.#sources.skip(operation.skipped)
      case 'note_source':
        return this.#sources.note(operation.note)
      case 'note_refused':
        return this.#refused.note(operation.batch)
      case 'put_token':
        return this.#tokens.put(operation.token)
      case 'revoke_token':
        return this.#tokens.revoke(...operation.args)
      case 'note_token_uses':
        return this.#tokens.noteUses(operation.uses)
      case 'audit':
        return this.#audit.add(operation.rows)
      case 'forget_item':
        return this.#sources.forget(...operation.args)
      case 'set_paused':
        return this.#setPaused(...operation.args)
      case 'pause_trigger':
        return this.#pausing.pause(...operation.args)
      case 'resume_trigger':
        return this.#pausing.resume(...operation.args)
      case 'set_bot_status':
        return this.#standing.setBotStatus(...operation.args)
      case 'queue_counts':
        return this.#queues.all()
      case 'ping':
        this.#ping.get()
        return connectionFacts(this.#db)
    }
  }

  #retain(limits: RetentionLimits): { events: number; more: boolean } {
    const isCompacting = this.#usage.compact(limits.now)
    const { events, more } = this.#retaining.retain(limits)
    return { events, more: more || isCompacting }
  }

  #claim(request: ClaimRequest): ClaimAnswer {
    const { answer, openDelta } = this.#claiming.claim(request)
    this.#accepting.adjustOpenRuns(openDelta)
    return answer
  }

  /** Changed definitions count from now on. */
  #wrote(changes: DefinitionChange[]): void {
    const triggers = changes.filter(change => change.noun === 'trigger')
    if (triggers.length > 0) this.#history.reload()
    for (const { id, definition, at } of triggers) {
      const limit = (definition as TriggerInput | null)?.policy?.concurrency?.limit
      if (limit !== undefined) this.#lanes.relimit(id, limit, at)
      if (definition === null) this.#pausing.resume(id, 'the trigger was deleted', at)
    }
    const bots = changes.filter(change => change.noun === 'bot')
    if (bots.length > 0) this.#lanes.budgets.defined.reload()
    for (const { id, at } of bots) this.#lanes.rewrittenBot(id, at)
    const queues = changes.filter(change => change.noun === 'queue')
    if (queues.length === 0) return
    const paused = (): (string | undefined)[] => queues.map(({ id }) => this.#queues.pausedWhy(id))
    const before = paused()
    this.#queues.reload()
    for (const [index, reason] of paused().entries()) {
      const { id, at } = queues[index]!
      if (before[index] === undefined && reason !== undefined)
        this.#history.emitLifecycle('queue.paused', id, { queue: id, reason }, at)
      if (before[index] !== undefined && reason === undefined)
        this.#history.emitLifecycle('queue.resumed', id, { queue: id }, at)
    }
  }

  #setPaused(reason: string | null, at: number): void {
    const before = this.#standing.paused()
    this.#standing.setPaused(reason)
    if (before === null && reason !== null) this.#history.emitLifecycle('router.paused', null, { reason }, at)
    if (before !== null && reason === null) this.#history.emitLifecycle('router.resumed', null, {}, at)
  }

  /** Buries every run that is damaged, after something failed for a reason that was not looked for; answers how many. */
  examine(at: number): number {
    const buried = this.#db.transaction(() => this.#examination.run(at)).immediate()
    this.#accepting.recount()
    this.#queues.reload()
    return buried
  }

  /** Makes every index again from its table. */
  reindex(): void {
    this.#db.exec('REINDEX')
    this.#damage.add('an index did not fit its table: all indexes were made again from their tables')
  }

  /** After a rollback nothing that was counted or remembered holds. */
  rolledBack(): void {
    this.#log.reload()
    this.#history.rolledBack()
    this.#counts.clear()
    this.#lanes.budgets.defined.reload()
    this.#lanes.pauses.reload()
    this.#accepting.rolledBack()
    this.#queues.reload()
  }

  /** What is to be told besides the answers. */
  told(): Told {
    const due = [...this.#lanes.due]
    this.#lanes.due.clear()
    const changed = [...new Set([...this.#history.takeChanged(), ...this.#output.changed])]
    this.#output.changed.clear()
    return {
      due,
      next_at: this.#soon.take(),
      logged: this.#log.takeLogged(),
      changed,
      counted: this.#history.takeCounted(),
      gates: this.#counts.take(),
      unrouted: this.#history.takeUnrouted(),
      damage: this.#damage.take(),
    }
  }

  /** Throws ExitError 65 for a definition that is damaged, before anything is written. */
  start(now: number): StartAnswer {
    const definitions = this.#definitions.load()
    let clock_behind_ms = 0
    let [refused, tokens]: [RefusedRow[], TokenRow[]] = [[], []]
    const putBack = (): number => {
      this.#examination.run(now)
      clock_behind_ms = movedBack(this.#db, now)
      this.#accepting.catchUp()
      this.#lanes.restart(now)
      refused = this.#refused.load()
      tokens = this.#tokens.load()
      this.#audit.removeFar()
      return this.#moving.recover(now)
    }
    const recovered = this.#db.transaction(putBack).immediate()
    this.#accepting.recount()
    this.#queues.reload()
    return {
      definitions,
      damage: this.#damage.take(),
      recovered,
      clock_behind_ms,
      open_runs: this.#accepting.openRuns,
      worker_leases: this.#moving.workerLeases(),
      waiting_bots: this.#waiting.all(),
      paused: this.#standing.paused(),
      bot_status: this.#standing.botStatus(),
      trigger_pauses: this.#lanes.pauses.all(),
      source_states: this.#sources.states(now),
      refused,
      tokens,
      next_due_at: this.#claiming.nextDueAt(),
      unrouted: this.#unrouted.get() !== undefined,
      facts: { ...connectionFacts(this.#db), database_bytes: 0, wal_bytes: 0, reusable_bytes: 0 },
    }
  }
}
