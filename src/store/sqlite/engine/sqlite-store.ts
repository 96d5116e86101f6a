// The SQLite store as the router sees it: a writing and a reading thread behind the Store interface.
//
// What is called in one turn of the event loop goes to the writer as one batch; the writer commits all batches that
// have arrived by the time it is free (writer.ts). So load makes the groups, and a single call does not wait.
//
// States: stopped -> starting -> running -> (failed | stopping) -> stopped.
import type { CompleteBudget } from '../../../contract/budgets.ts'
import { Worker } from 'node:worker_threads'
import { DamagedError, damagedCode, ExitError, Fault } from '../../../errors.ts'
import { fromThread, toThread } from '../../../exact-json.ts'
import { noToolLimits, type ToolLimits } from '../../../tools.ts'
import type {
  AcceptLimits,
  AcceptOutcome,
  AuditRow,
  ClaimAnswer,
  LifecycleEvents,
  MoveOutcome,
  NewEvent,
  RefusedBatch,
  SkippedTicks,
  SourceNote,
  StartAnswer,
  Store,
  StoreFacts,
  TokenRow,
  TokenUse,
  WriteOutcome,
} from '../../store.ts'
import type { PackedPart } from '../tables/output.ts'
import { OutputQueue } from './output-queue.ts'
import type {
  PackedEvent,
  ReadAnswer,
  ReadRequest,
  WriteBatch,
  WriteOp,
  WorkerStart,
  WriteResult,
  WriterMessage,
} from './protocol.ts'

interface Waiting {
  operation: WriteOp
  bodies: Uint8Array[]
  bytes: number
  resolve: (value: never) => void
  reject: (error: Error) => void
}

/** Questions that the reading thread is given at once. */
const mostReads = 2

export interface SqliteStoreOptions {
  stateDir: string
  /** which moves of runs are reported as events. Default: none */
  lifecycle?: LifecycleEvents
  /** start although committed rows are missing. Default: false */
  acceptLoss?: boolean
  /** which tools runs may use. Default: no limits */
  toolLimits?: ToolLimits
  /** of the configuration */
  budgets?: readonly CompleteBudget[]
  /** The storage failed under a running store; nothing more is answered, and the process should end. */
  onFatal: (message: string) => void
}

export class SqliteStore implements Store {
  onDue: (bot_ids: string[]) => void = () => undefined
  onDueAt: (time: number) => void = () => undefined
  onLogged: () => void = () => undefined
  onUnrouted: () => void = () => undefined
  onRunChange: (run_ids: string[]) => void = () => undefined
  onRunsCounted: Store['onRunsCounted'] = () => undefined
  onGatesCounted: Store['onGatesCounted'] = () => undefined
  onDamage: (found: string[]) => void = () => undefined
  readonly #options: SqliteStoreOptions
  #writer: Worker | undefined
  #reader: Worker | undefined
  #waiting: Waiting[] = []
  readonly #sent: Waiting[][] = []
  #failure: string | undefined
  #stopped: Promise<void> | undefined
  #nextCall = 1
  /** questions that wait for the reading thread, and how many it has */
  readonly #asked: ReadRequest[] = []
  #asking = 0
  readonly #reads = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()

  constructor(options: SqliteStoreOptions) {
    this.#options = options
  }

  async start(now: number): Promise<StartAnswer> {
    const {
      stateDir,
      lifecycle = 'none',
      acceptLoss = false,
      toolLimits = noToolLimits,
      budgets = [],
    } = this.#options
    const workerData = { stateDir, lifecycle, now, acceptLoss, toolLimits, budgets } satisfies WorkerStart
    const writer = new Worker(new URL('./writer.ts', import.meta.url), { workerData, stderr: false })
    const { promise, resolve, reject } = Promise.withResolvers<StartAnswer>()
    const ended = new Promise<void>(done => writer.once('exit', () => done()))
    writer.on('message', (message: WriterMessage) => {
      if (message.kind === 'started')
        resolve({ ...message.answer, definitions: fromThread(message.answer.definitions) })
      else if (message.kind === 'refused') reject(new ExitError(message.exitCode, message.message))
      else if (message.kind === 'results') {
        for (const results of message.groups) this.#settle(results)
        if (message.due.length > 0) this.onDue(message.due)
        if (message.next_at !== null) this.onDueAt(message.next_at)
        if (message.logged) this.onLogged()
        if (message.changed.length > 0) this.onRunChange(message.changed)
        if (message.counted.length > 0) this.onRunsCounted(message.counted)
        if (message.gates !== undefined) this.onGatesCounted(message.gates)
        if (message.unrouted) this.onUnrouted()
        if (message.damage.length > 0) this.onDamage(message.damage)
      } else this.#fail(`${message.code}: ${message.message}`)
    })
    writer.on('error', error => {
      reject(error)
      this.#fail(`the writing thread ended: ${error.message}`)
    })
    try {
      const answer = await promise
      this.#writer = writer
      return answer
    } catch (error) {
      await ended
      throw error
    }
  }

  /** The reading thread, started with the first question. */
  #readingThread(): Worker {
    if (this.#reader !== undefined) return this.#reader
    const reader = new Worker(new URL('./reader.ts', import.meta.url), {
      workerData: {
        stateDir: this.#options.stateDir,
        lifecycle: 'none',
        now: 0,
        acceptLoss: false,
        toolLimits: noToolLimits,
        budgets: [],
      } satisfies WorkerStart,
    })
    reader.on('message', (answer: ReadAnswer) => {
      this.#asking--
      this.#ask()
      const waiting = this.#reads.get(answer.call)
      this.#reads.delete(answer.call)
      if (answer.damage.length > 0) this.onDamage(answer.damage)
      if (answer.ok) waiting?.resolve(answer.value as never)
      else if (/^SQLITE_(IOERR|CORRUPT)/.test(answer.code)) this.#fail(`${answer.code}: ${answer.message}`)
      else
        waiting?.reject(
          answer.code === damagedCode
            ? new DamagedError(answer.message)
            : new Error(`${answer.code}: ${answer.message}`),
        )
    })
    reader.on('error', error => this.#fail(`the reading thread ended: ${error.message}`))
    this.#reader = reader
    return reader
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stopThreads()
    return this.#stopped
  }

  async #stopThreads(): Promise<void> {
    const ended = (worker: Worker): Promise<void> =>
      new Promise(resolve => worker.once('exit', () => resolve()))
    const { promise, resolve } = Promise.withResolvers<void>()
    if (this.#writer !== undefined && this.#failure === undefined)
      void this.ping().then(resolve, () => resolve())
    else resolve()
    await promise
    for (const worker of [this.#reader, this.#writer]) {
      if (worker === undefined) continue
      const gone = ended(worker)
      worker.postMessage('close')
      await gone
    }
    this.#fail('the store is stopped', false)
  }

  #fail(message: string, fatal = true): void {
    if (this.#failure !== undefined) return
    this.#failure = message
    const error = new Fault(
      'not_ready',
      'the storage failed; the router is ending, try again after its restart',
      { retryAfterS: 5 },
    )
    for (const waiting of [...this.#sent.flat(), ...this.#waiting, ...this.#reads.values()])
      waiting.reject(error)
    this.#sent.length = 0
    this.#waiting = []
    this.#reads.clear()
    this.#asked.length = 0
    if (fatal) this.#options.onFatal(message)
  }

  #call<T>(operation: WriteOp, bodies: Uint8Array[] = []): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    if (this.#failure !== undefined || this.#writer === undefined) {
      reject(new Fault('not_ready', 'the store is not running; try again shortly', { retryAfterS: 5 }))
      return promise
    }
    const bytes = bodies.reduce((sum, body) => sum + body.byteLength, 0)
    if (this.#waiting.length === 0) setImmediate(() => this.#send())
    this.#waiting.push({ operation, bodies, bytes, resolve: resolve, reject })
    return promise
  }

  #send(): void {
    const batch = this.#waiting
    if (batch.length === 0 || this.#failure !== undefined) return
    this.#waiting = []
    const bodies = new Uint8Array(new ArrayBuffer(batch.reduce((sum, waiting) => sum + waiting.bytes, 0)))
    let at = 0
    for (const { operation, bodies: own } of batch) {
      for (const [index, body] of own.entries()) {
        bodies.set(body, at)
        if (operation.op === 'accept') operation.events[index]!.body_at = at
        else if (operation.op === 'append_output') operation.parts[index]!.body_at = at
        at += body.byteLength
      }
    }
    this.#sent.push(batch)
    const message: WriteBatch = { ops: batch.map(waiting => waiting.operation), bodies: bodies.buffer }
    this.#writer!.postMessage(message, [bodies.buffer])
  }

  get pendingWrites(): number {
    return this.#sent.reduce((count, batch) => count + batch.length, this.#waiting.length)
  }

  /** Results come in the order in which batches were sent. */
  #settle(results: WriteResult[]): void {
    for (const [index, { resolve, reject }] of (this.#sent.shift() ?? []).entries()) {
      const result = results[index]!
      if (result.ok) resolve(result.value as never)
      else if (result.full)
        reject(
          new Fault('storage_full', `${result.message}; free some space and try again`, { retryAfterS: 60 }),
        )
      else reject(new Error(result.message))
    }
  }

  #read<T>(method: ReadRequest['method'], ...args: unknown[]): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    if (this.#failure !== undefined || this.#writer === undefined) {
      reject(new Fault('not_ready', 'the store is not running; try again shortly', { retryAfterS: 5 }))
      return promise
    }
    const call = this.#nextCall++
    this.#reads.set(call, { resolve: resolve, reject })
    this.#asked.push({ call, method, args })
    this.#ask()
    return promise
  }

  /** Gives the reading thread a few questions at a time: an answer may be large, and waits in memory until it is looked at. */
  #ask(): void {
    while (this.#asking < mostReads && this.#asked.length > 0) {
      this.#asking++
      this.#readingThread().postMessage(this.#asked.shift()!)
    }
  }

  accept(events: NewEvent[], limits: AcceptLimits): Promise<AcceptOutcome[]> {
    const packed = events.map(({ body, ...event }): PackedEvent => ({
      ...event,
      body_at: 0,
      body_length: body.byteLength,
    }))
    return this.#call(
      { op: 'accept', events: packed, limits },
      events.map(event => event.body),
    )
  }

  claim = (...args: Parameters<Store['claim']>): Promise<ClaimAnswer> => this.#call({ op: 'claim', args })
  move = (...args: Parameters<Store['move']>): Promise<MoveOutcome[]> =>
    this.#call({ op: 'move', moves: args[0] })
  replay = (...args: Parameters<Store['replay']>): Promise<string[] | null> =>
    this.#call({ op: 'replay', args })
  write = (...args: Parameters<Store['write']>): Promise<WriteOutcome> =>
    this.#call({ op: 'write', args: toThread(args) })
  retain = (...args: Parameters<Store['retain']>): ReturnType<Store['retain']> =>
    this.#call({ op: 'retain', limits: args[0] })
  giveBack = (...args: Parameters<Store['giveBack']>): ReturnType<Store['giveBack']> =>
    this.#call({ op: 'give_back', request: args[0] })
  space = (): ReturnType<Store['space']> => this.#read('space')
  setPaused = (...args: Parameters<Store['setPaused']>): Promise<void> =>
    this.#call({ op: 'set_paused', args })
  pauseTrigger = (...args: Parameters<Store['pauseTrigger']>): ReturnType<Store['pauseTrigger']> =>
    this.#call({ op: 'pause_trigger', args })
  resumeTrigger = (...args: Parameters<Store['resumeTrigger']>): ReturnType<Store['resumeTrigger']> =>
    this.#call({ op: 'resume_trigger', args })
  emitLifecycle = (...args: Parameters<Store['emitLifecycle']>): Promise<void> =>
    this.#call({ op: 'emitLifecycle', args })
  unrouted = (...args: Parameters<Store['unrouted']>): ReturnType<Store['unrouted']> =>
    this.#read('unrouted', ...args)
  route = (...args: Parameters<Store['route']>): ReturnType<Store['route']> =>
    this.#call({ op: 'route', args })
  nextSeq = (...args: Parameters<Store['nextSeq']>): Promise<number | null> => this.#read('nextSeq', ...args)
  lastSeq = (): Promise<number> => this.#read('lastSeq')
  setBotStatus = (...args: Parameters<Store['setBotStatus']>): Promise<void> =>
    this.#call({ op: 'set_bot_status', args })
  queueCounts = (): ReturnType<Store['queueCounts']> => this.#call({ op: 'queue_counts' })
  stuck = (...args: Parameters<Store['stuck']>): ReturnType<Store['stuck']> => this.#read('stuck', ...args)
  ping = async (): Promise<void> => {
    await this.#call({ op: 'ping' })
  }
  event = (...args: Parameters<Store['event']>): ReturnType<Store['event']> => this.#read('event', ...args)
  events = (...args: Parameters<Store['events']>): ReturnType<Store['events']> =>
    this.#read('events', ...args)
  originsSince = (): ReturnType<Store['originsSince']> => this.#read('originsSince')
  cause = (...args: Parameters<Store['cause']>): ReturnType<Store['cause']> => this.#read('cause', ...args)
  run = (...args: Parameters<Store['run']>): ReturnType<Store['run']> => this.#read('run', ...args)
  runEvents = (...args: Parameters<Store['runEvents']>): ReturnType<Store['runEvents']> =>
    this.#read('runEvents', ...args)
  runs = (...args: Parameters<Store['runs']>): ReturnType<Store['runs']> => this.#read('runs', ...args)
  readonly #output = new OutputQueue((parts, limits) => {
    const packed = parts.map(({ content, ...part }): PackedPart => ({
      ...part,
      body_at: 0,
      body_length: content.byteLength,
    }))
    return this.#call(
      { op: 'append_output', parts: packed, limits },
      parts.map(part => part.content),
    )
  })
  appendOutput = (...args: Parameters<Store['appendOutput']>): Promise<void> => this.#output.append(...args)
  output = (...args: Parameters<Store['output']>): ReturnType<Store['output']> =>
    this.#read('output', ...args)
  override = (...args: Parameters<Store['override']>): ReturnType<Store['override']> =>
    this.#read('override', ...args)
  history = (...args: Parameters<Store['history']>): ReturnType<Store['history']> =>
    this.#read('history', ...args)
  triggerVersion = async (
    ...args: Parameters<Store['triggerVersion']>
  ): ReturnType<Store['triggerVersion']> => fromThread(await this.#read('triggerVersion', ...args))
  triggerVersions = async (
    ...args: Parameters<Store['triggerVersions']>
  ): ReturnType<Store['triggerVersions']> => fromThread(await this.#read('triggerVersions', ...args))
  sourceStats = (): ReturnType<Store['sourceStats']> => this.#read('sourceStats')
  stats = (...args: Parameters<Store['stats']>): ReturnType<Store['stats']> => this.#read('stats', ...args)
  budgetUses = (...args: Parameters<Store['budgetUses']>): ReturnType<Store['budgetUses']> =>
    this.#read('budgetUses', ...args)
  usage = (...args: Parameters<Store['usage']>): ReturnType<Store['usage']> => this.#read('usage', ...args)
  skipTicks = (skipped: SkippedTicks[]): Promise<void> => this.#call({ op: 'skip_ticks', skipped })
  noteRefused = (batch: RefusedBatch): Promise<void> => this.#call({ op: 'note_refused', batch })
  putToken = (token: TokenRow): Promise<void> => this.#call({ op: 'put_token', token })
  revokeToken = (...args: Parameters<Store['revokeToken']>): Promise<void> =>
    this.#call({ op: 'revoke_token', args })
  noteTokenUses = (uses: TokenUse[]): Promise<void> => this.#call({ op: 'note_token_uses', uses })
  audit = (rows: AuditRow[]): Promise<void> => this.#call({ op: 'audit', rows })
  auditEntries = (...args: Parameters<Store['auditEntries']>): ReturnType<Store['auditEntries']> =>
    this.#read('auditEntries', ...args)
  noteSource = (note: SourceNote): Promise<void> => this.#call({ op: 'note_source', note })
  unseen = (...args: Parameters<Store['unseen']>): Promise<string[]> => this.#read('unseen', ...args)
  forgetItem = (...args: Parameters<Store['forgetItem']>): Promise<boolean> =>
    this.#call({ op: 'forget_item', args })
  fileSets = (): ReturnType<Store['fileSets']> => this.#read('fileSets')
  contextFiles = (...args: Parameters<Store['contextFiles']>): ReturnType<Store['contextFiles']> =>
    this.#read('contextFiles', ...args)
  ticks = (...args: Parameters<Store['ticks']>): ReturnType<Store['ticks']> => this.#read('ticks', ...args)
  counts = (): ReturnType<Store['counts']> => this.#read('counts')
  /** The settings are those of the writing connection: they decide what a commit is worth. */
  facts = async (): ReturnType<Store['facts']> => ({
    ...(await this.#read<StoreFacts>('facts')),
    ...(await this.#call<Partial<StoreFacts>>({ op: 'ping' })),
  })
}
