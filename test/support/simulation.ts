// A whole router but for its sockets, with bots, workers and people who do what they like, on a clock that jumps: all of
// it is decided by one seed, so that what goes wrong once goes wrong again.
import type {
  BotInput,
  Budget,
  Policy,
  QueueInput,
  SourceInput,
  Trigger,
  TriggerInput,
} from '../../src/contract/types.ts'
import { readConfig } from '../../src/config.ts'
import { completeBudgets } from '../../src/contract/budgets.ts'
import { Capture } from '../../src/delivery/capture.ts'
import { deliveryParts, type DeliveryParts } from '../../src/delivery/delivery.ts'
import type { AttemptOptions } from '../../src/delivery/attempt-options.ts'
import { failure, type Delivery, type DeliveryResult } from '../../src/delivery/bot.ts'
import type { GivenLease } from '../../src/delivery/worker-claims.ts'
import { move, moves, type MoveName } from '../../src/delivery/run-state.ts'
import { Fault } from '../../src/errors.ts'
import { uuidv7Maker } from '../../src/ids.ts'
import { Acceptor } from '../../src/routing/accept.ts'
import { LifecycleRouter } from '../../src/routing/lifecycle-router.ts'
import { eventView } from '../../src/routing/log-filter.ts'
import { Payload } from '../../src/routing/payload.ts'
import { Registry } from '../../src/routing/registry.ts'
import { renderTemplate } from '../../src/routing/inputs.ts'
import type { RunFlow } from '../../src/store/flow.ts'
import type { DefinitionChange, StoredRun } from '../../src/store/store.ts'
import { ToolRules } from '../../src/tools.ts'
import { freshDatabase, LocalStore, type Guard } from './local-store.ts'

const t0 = 1_790_000_000_000
const bots = ['push', 'slow', 'puller']
const capable = 'any'
const words = ['a', 'b']
const threads = ['acme/site#1', 'acme/site#2', null]
/** How long faults and people go on, in the time of the simulation. */
const lifeMs = 25_000

/** Numbers that follow from a seed: mulberry32. */
export function chances(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

interface Timer {
  at: number
  order: number
  /** of a process that may crash; undefined: the world's own */
  life: number | undefined
  work: () => void
}

/** Time: what is to be done, in order. Nothing waits for real. */
class Clock {
  now = t0
  #order = 0
  readonly #timers = new Map<number, Timer>()
  readonly #last = new Map<string, number>()

  at(delay: number, work: () => void, life?: number): number {
    const order = ++this.#order
    this.#timers.set(order, { at: this.now + Math.max(0, Math.floor(delay)), order, life, work })
    return order
  }

  /** Not before what went the same way earlier. */
  inOrder(way: string, delay: number, work: () => void): void {
    const at = Math.max(this.now + delay, this.#last.get(way) ?? 0)
    this.#last.set(way, at)
    this.at(at - this.now, work)
  }

  clear(order: number | undefined): void {
    if (order !== undefined) this.#timers.delete(order)
  }

  endOf(life: number): void {
    for (const [order, timer] of this.#timers) if (timer.life === life) this.#timers.delete(order)
  }

  /** Does what comes next; false: there is nothing, or nothing before a time. */
  step(until: number): boolean {
    let next: Timer | undefined
    for (const timer of this.#timers.values())
      if (next === undefined || timer.at < next.at || (timer.at === next.at && timer.order < next.order))
        next = timer
    if (next === undefined || next.at > until) return false
    this.#timers.delete(next.order)
    this.now = Math.max(this.now, next.at)
    next.work()
    return true
  }
}

/** A delivery that a bot has in hand. */
interface InHand {
  run_id: string
  life: number
}

const turn = (): Promise<void> => new Promise(resolve => realImmediate(resolve))
const realImmediate = setImmediate
const real = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  performance: globalThis.performance,
}

export class Simulation {
  readonly problems: string[] = []
  readonly trace: string[] = []
  readonly #random: () => number
  readonly #guard: Guard
  readonly #clock = new Clock()
  readonly #db = freshDatabase()
  readonly #active = this.#db.prepare<
    [],
    { bot_id: string; queue: string; flow: string | null; lease_token: string | null }
  >("SELECT bot_id, queue, flow, lease_token FROM outbox WHERE state IN ('assigned', 'running', 'paused')")
  readonly #makeId
  #life = 0
  #store!: LocalStore
  #parts!: DeliveryParts
  #registry!: Registry
  #acceptor!: Acceptor
  #lifecycle!: LifecycleRouter
  #faults = true
  #bots: BotInput[] = []
  readonly #inHand = new Map<string, InHand>()
  /** runs that a bot has begun */
  readonly #begun = new Set<string>()
  /** the last lease of each run that a worker was given */
  readonly #leases = new Map<string, string>()
  readonly #accepted = new Map<string, string[]>()
  #tokens = 0

  /** guard: any but 'lease' is one that the simulation must notice. */
  constructor(seed: number, guard: Guard = 'lease') {
    this.#guard = guard
    this.#random = chances(seed)
    this.#makeId = uuidv7Maker(buffer => {
      for (let index = 0; index < buffer.length; index++) buffer[index] = this.#below(256)
    })
  }

  #below(most: number): number {
    return Math.floor(this.#random() * most)
  }

  #pick<T>(all: readonly T[]): T {
    return all[this.#below(all.length)]!
  }

  #likely(share: number): boolean {
    return this.#random() < share
  }

  /** Lives through one seed. */
  async run(): Promise<this> {
    globalThis.setTimeout = ((work: () => void, ms = 0) => this.#clock.at(ms, work, this.#life)) as never
    globalThis.clearTimeout = ((order: number | undefined) => this.#clock.clear(order)) as never
    Object.defineProperty(globalThis, 'performance', {
      value: { now: () => this.#clock.now - t0 },
      configurable: true,
      writable: true,
    })
    try {
      await this.#live()
    } finally {
      globalThis.setTimeout = real.setTimeout
      globalThis.clearTimeout = real.clearTimeout
      Object.defineProperty(globalThis, 'performance', {
        value: real.performance,
        configurable: true,
        writable: true,
      })
      this.#db.close()
    }
    return this
  }

  async #live(): Promise<void> {
    await this.#boot()
    await this.#define()
    for (let worker = 0; worker < 2; worker++) this.#work()
    const end = this.#clock.now + lifeMs
    this.#soon(500, () => this.#happens(end))
    await this.#until(end)
    this.#faults = false
    await this.#settle()
    this.#judge()
  }

  /** What the world does, whatever becomes of the router. */
  #soon(most: number, work: () => void): void {
    this.#clock.at(this.#below(most) + 1, work)
  }

  async #until(time: number): Promise<void> {
    while (this.#clock.step(time)) await turn()
    this.#clock.now = Math.max(this.#clock.now, time)
  }

  /** Waits for an answer while time goes on; what a process that crashed was asked is never answered. */
  async #answer<T>(work: Promise<T>): Promise<T | undefined> {
    const life = this.#life
    const said: { done: boolean; answer?: T } = { done: false }
    work.then(
      answer => Object.assign(said, { done: true, answer }),
      (error: unknown) => {
        said.done = true
        if (!(error instanceof Fault)) this.problems.push(`not a Fault: ${String(error)}`)
      },
    )
    await turn()
    while (!said.done && life === this.#life && this.#clock.step(Infinity)) await turn()
    return said.answer
  }

  #note(line: string): void {
    this.trace.push(`${this.#clock.now - t0} ${line}`)
  }

  async #boot(): Promise<void> {
    const life = ++this.#life
    const config = readConfig(
      {},
      {
        log_level: 'silent',
        max_active: 6,
        bot_max_active: 2,
        breaker_open_ms: 2000,
        retry_schedule_ms: [0, 500, 2000],
      },
    )
    const now = (): number => this.#clock.now
    const log = (): void => undefined
    const logBug = (error: unknown): void => {
      if (life === this.#life && !(error instanceof Fault))
        this.problems.push(`bug: ${(error as Error).stack ?? String(error)}`)
    }
    this.#store = new LocalStore({
      db: this.#db,
      lifecycle: 'outcomes',
      guard: this.#guard,
      later: (way, work) => this.#clock.inOrder(way, this.#below(3), work),
      committed: () => this.#inspect(),
      budgets: completeBudgets(this.#budgets('router'), 'router'),
    })
    const store = this.#store
    const opened = await store.start(now())
    const registry = new Registry({
      bot_max_active: config.bot_max_active,
      limits: config,
      subject_paths: [],
    })
    registry.load(opened.definitions, opened.trigger_pauses)
    this.#registry = registry
    const expressions = { check: async () => undefined, evaluate: async () => [] } as never
    const render: AttemptOptions['render'] = async (template, name, scope) => ({
      ok: true,
      value: await renderTemplate(template, name, scope, expressions),
    })
    const deliver = (_endpoint: unknown, delivery: Delivery): Promise<DeliveryResult> =>
      this.#deliver(life, delivery)
    const kind = { deliver, stop: async () => undefined, pause: () => true }
    const rewrite = async (
      noun: 'bot' | 'queue',
      id: string,
      definition: BotInput | QueueInput,
    ): Promise<void> => {
      const changes: DefinitionChange[] = [{ noun, id, definition, at: now() }]
      const outcome = await store.write(changes)
      if (outcome.kind === 'written') registry.apply(changes, outcome.objects)
    }
    this.#parts = deliveryParts({
      config,
      store,
      tools: new ToolRules(config),
      kinds: { http: kind, unix_rpc: kind, command: kind, emit: kind, notify: kind },
      bots: registry.bots,
      queues: registry.queues,
      pauses: registry.pauses,
      trigger: (id, version) => store.triggerVersion(id, version),
      render,
      view: eventView,
      now,
      random: this.#random,
      logBug,
      redact: text => text,
      capture: (run_id, attempt) =>
        new Capture(run_id, attempt, { store, limits: config, secrets: () => [], now, logBug }),
      makeToken: encoding => (++this.#tokens).toString(16).padStart(encoding === 'hex' ? 32 : 22, '0'),
      disableBot: async () => undefined,
      pauseQueue: (id, paused_reason) => rewrite('queue', id, { id, paused: true, paused_reason }),
      log,
    })
    this.#acceptor = new Acceptor({
      store,
      registry,
      limits: { ...config, max_open_runs: 10_000 },
      now,
      makeId: this.#makeId,
      onRuns: ids => this.#parts.dispatcher.wake(ids),
      onCancel: ids => ids.forEach(id => this.#parts.dispatcher.cancel(id)),
      tools: this.#parts.tools,
      log,
      assertOpen: () => undefined,
    })
    this.#lifecycle = new LifecycleRouter({ store, acceptor: this.#acceptor, logBug })
    store.onUnrouted = () => this.#lifecycle.wake()
    this.#parts.hold(opened)
    this.#parts.start(opened)
    if (opened.unrouted) this.#lifecycle.wake()
    this.#note(`boot ${life}`)
  }

  /** kill -9: what was not committed is gone, what was not answered never will be. */
  async #crash(): Promise<void> {
    this.#note('crash')
    this.#store.crash()
    this.#clock.endOf(this.#life)
    await this.#boot()
  }

  #policy(): Policy {
    const key = this.#likely(0.5) ? { key: '{{ payload.word }}' } : {}
    const policy: Policy = {}
    if (this.#likely(0.2)) policy.concurrency = { limit: 1 + this.#below(2), ...key }
    if (this.#likely(0.15)) policy.throttle = { limit: 1 + this.#below(3), period_ms: 2000, ...key }
    if (this.#likely(0.15)) policy.order_key = '{{ payload.word }}'
    if (this.#likely(0.1)) policy.on_dead = 'continue'
    if (this.#likely(0.1))
      policy.singleton = { on_conflict: this.#pick(['skip', 'queue', 'cancel_running'] as const), ...key }
    if (this.#likely(0.1))
      policy.budget = this.#likely(0.5)
        ? { runs: 5, period: 600_000 }
        : [
            { runs: 9, period: 600_000 },
            { tokens: 12, period: 60_000 },
          ]
    if (this.#likely(0.1))
      policy.approval = {
        ...(this.#likely(0.5) ? { bot_id: 'approver' } : {}),
        timeout_ms: 3000,
        cooldown_ms: 500,
        max_denials: 2,
      }
    if (this.#likely(0.3)) policy.repeat_limit = { limit: 1 + this.#below(3), period_ms: 4000 }
    if (this.#likely(0.1)) policy.rate_limit = { limit: 2, period_ms: 1000, ...key }
    if (this.#likely(0.1)) policy.priority = this.#below(201) - 100
    if (this.#likely(0.1)) policy.max_age_ms = 5000
    if (this.#likely(0.1)) policy.delay_ms = this.#below(2000)
    if (this.#likely(0.3)) policy.retry = [0, 300, 900]
    if (this.#likely(0.1))
      Object.assign(policy, { start_timeout_ms: 800, timeout_ms: 4000, idle_timeout_ms: 1500 })
    if (this.#likely(0.15)) policy.queue = 'shared'
    const gathers = policy.order_key === undefined ? this.#random() : 1
    if (gathers < 0.1) policy.debounce = { period_ms: 700, ...key }
    else if (gathers < 0.2) policy.batch = { max: 3, timeout_ms: 1500, ...key }
    return policy
  }

  /** Budgets of bots or of the configuration, as they are at some time. */
  #budgets(per: 'bot' | 'router'): Budget[] {
    if (!this.#likely(0.3)) return []
    const all: Budget[] = [
      { per, runs: 2 + this.#below(4), period: 60_000 },
      { per, tokens: 3 + this.#below(20), period: 60_000 },
      { per: 'bot', runs: 3, period: 120_000 },
    ]
    return all.filter(() => this.#likely(0.5))
  }

  #bot(bot: BotInput): BotInput {
    const budget = this.#budgets('bot')
    return budget.length === 0 ? bot : { ...bot, budget }
  }

  /** A bot is written with other budgets. */
  async #rewriteBot(id: string): Promise<void> {
    const { budget: _, ...bot } = this.#bots.find(each => each.id === id)!
    const changes: DefinitionChange[] = [{ noun: 'bot', id, definition: this.#bot(bot), at: this.#clock.now }]
    const { dispatcher } = this.#parts
    const registry = this.#registry
    const outcome = await this.#store.write(changes)
    if (outcome.kind !== 'written') return
    registry.apply(changes, outcome.objects)
    dispatcher.forget(id)
  }

  async #define(): Promise<void> {
    const at = this.#clock.now
    const source: SourceInput = { id: 'jobs', source_type: 'service' }
    const http = (id: string, more: Partial<BotInput> = {}): BotInput => ({
      id,
      endpoint: { kind: 'http', url: 'http://127.0.0.1:1/' },
      ...more,
    })
    const all: BotInput[] = [
      http('push', { capabilities: [capable], max_active: 1 + this.#below(3) }),
      http('slow', {
        capabilities: [capable, 'slow'],
        ...(this.#likely(0.3)
          ? { availability: 'sleeping', wake: { kind: 'http', url: 'http://127.0.0.1:1/' } }
          : {}),
      }),
      http('approver'),
      {
        id: 'puller',
        endpoint: { kind: 'pull', lease_ms: 3000 },
        capabilities: [capable, 'pull'],
        max_active: 2,
      },
    ]
    this.#bots = all
    const trigger = (index: number): TriggerInput => {
      const policy = this.#policy()
      const named = this.#likely(0.7) || (policy.order_key !== undefined && policy.queue === undefined)
      const dependent =
        index > 0 && policy.debounce === undefined && policy.batch === undefined && this.#likely(0.15)
      return {
        id: `t${index}`,
        event_source_id: 'jobs',
        filter: { payload: { for: [index] } },
        action: named ? { bot_id: this.#pick(bots) } : { capabilities: [capable] },
        policy: {
          ...policy,
          ...(dependent
            ? { depends_on: [`t${index - 1}`], on_failed_dependency: this.#pick(['skip', 'hold'] as const) }
            : {}),
        },
      }
    }
    const after: TriggerInput = {
      id: 'after',
      event_source_id: 'router',
      filter: { type: ['run.failed'] },
      action: { bot_id: 'push' },
      policy: { rate_limit: { limit: 3, period_ms: 5000 } },
    }
    const changes: DefinitionChange[] = [
      { noun: 'source', id: 'jobs', definition: source, at },
      { noun: 'queue', id: 'shared', definition: { id: 'shared', max_active: 2, max_pending: 6 }, at },
      ...all
        .map(bot => this.#bot(bot))
        .map((definition): DefinitionChange => ({ noun: 'bot', id: definition.id, definition, at })),
      ...[0, 1, 2, 3]
        .map(trigger)
        .map((definition): DefinitionChange => ({ noun: 'trigger', id: definition.id, definition, at })),
      { noun: 'trigger', id: 'after', definition: after, at },
    ]
    const outcome = await this.#answer(this.#store.write(changes))
    if (outcome?.kind === 'written') this.#registry.apply(changes, outcome.objects)
  }

  /** One thing after the other happens, of the world's own accord. */
  #happens(end: number): void {
    if (this.#clock.now >= end) return
    const dice = this.#random()
    const work =
      dice < 0.45
        ? this.#emit()
        : dice < 0.93
          ? this.#person()
          : dice < 0.96
            ? this.#crash()
            : Promise.resolve()
    void work.catch((error: unknown) => {
      if (!(error instanceof Fault)) this.problems.push(`unexpected: ${(error as Error).stack}`)
    })
    this.#soon(1200, () => this.#happens(end))
  }

  async #emit(): Promise<void> {
    const wanted = [0, 1, 2, 3].filter(() => this.#likely(0.5))
    const payload = { for: wanted, word: this.#pick(words) }
    const event = {
      source_id: 'jobs',
      type: 'job',
      subject: null,
      actor: null,
      thread: this.#pick(threads),
      emitted: false,
      timestamp: null,
      headers: {},
      payload: Payload.of(payload),
      body: Buffer.from(JSON.stringify(payload)),
      body_format: 'json' as const,
      delivery_key: null,
      signed: null,
      log_redelivery_only: false,
      causation: null,
    }
    const { event_id, runs } = await this.#acceptor.acceptOne(event)
    this.#accepted.set(event_id, runs)
    this.#note(`accepted ${wanted.join(',')} -> ${runs.length}`)
  }

  #open(): { id: string; state: StoredRun['state'] }[] {
    const rows = this.#db
      .prepare<[], { id: Buffer; state: StoredRun['state'] }>('SELECT id, state FROM outbox ORDER BY seq')
      .all()
    return rows.map(({ id, state }) => ({ id: uuid(id), state }))
  }

  /** Somebody does something to a run, a bot, a queue or the router. */
  async #person(): Promise<void> {
    const { runs, availabilities, dispatcher } = this.#parts
    const open = this.#open()
    const some = open.length === 0 ? undefined : this.#pick(open)
    const acts: (() => Promise<unknown>)[] = [
      ...(some === undefined
        ? []
        : [
            () => runs.cancel(some.id, undefined),
            () => runs.hold(some.id, undefined),
            () => runs.release(some.id),
            () => runs.release(some.id),
            () => runs.answer(some.id, { approve: true }),
            () => runs.answer(some.id, { approve: this.#likely(0.5) }),
            () => runs.pause(some.id, undefined),
            () => runs.resume(some.id, undefined),
            () => runs.retry(some.id),
            () => runs.discard(some.id, undefined),
            () => runs.skip(some.id),
          ]),
      () => availabilities.say(this.#pick(bots), { drained: this.#likely(0.3) }),
      () =>
        availabilities.say('slow', {
          availability: this.#pick(['ready', 'sleeping', 'busy', 'degraded'] as const),
        }),
      () => this.#setQueue(this.#pick(['shared', 'push']), this.#likely(0.3)),
      () => this.#rewriteBot(this.#pick(bots)),
      () =>
        some === undefined || this.#likely(0.5)
          ? this.#setTriggerPaused(this.#pick(['t0', 't1', 't2', 't3']), this.#likely(0.3))
          : this.#update(some.id),
      () => this.#setPaused(this.#likely(0.2) ? 'a break' : null, dispatcher),
    ]
    const act = this.#pick(acts)
    await act().catch((error: unknown) => {
      if (!(error instanceof Fault)) throw error
    })
  }

  async #setQueue(id: string, paused: boolean): Promise<void> {
    const { dispatcher } = this.#parts
    const registry = this.#registry
    const limits = id === 'shared' ? { max_active: 2, max_pending: 6 } : {}
    const changes: DefinitionChange[] = [
      {
        noun: 'queue',
        id,
        definition: { id, ...limits, ...(paused ? { paused } : {}) },
        at: this.#clock.now,
      },
    ]
    const outcome = await this.#store.write(changes)
    if (outcome.kind !== 'written') return
    registry.apply(changes, outcome.objects)
    dispatcher.wake([])
  }

  async #update(id: string): Promise<void> {
    const run = await this.#store.run(id)
    if (run === null) return
    const version = run.steps - (this.#likely(0.2) ? 1 : 0)
    const inputs = this.#likely(0.5) ? { inputs: '{"changed":true}' } : {}
    await this.#parts.runs.update(id, { version, priority: this.#below(201) - 100, ...inputs })
  }

  async #setTriggerPaused(id: string, paused: boolean): Promise<void> {
    const { pauses } = this.#registry
    if (paused) {
      const pause = await this.#store.pauseTrigger(id, null, this.#clock.now)
      if (pause !== null) pauses.set(id, pause)
      return
    }
    await this.#store.resumeTrigger(id, null, this.#clock.now)
    pauses.delete(id)
  }

  async #setPaused(reason: string | null, dispatcher: DeliveryParts['dispatcher']): Promise<void> {
    await this.#store.setPaused(reason, this.#clock.now)
    dispatcher.setPaused(reason)
  }

  /** A bot that is called: it may do its work and say so, fail, lie, be slow, or never answer. */
  #deliver(
    life: number,
    { id, run_id, attempt, body, signal, timeout_ms }: Delivery,
  ): Promise<DeliveryResult> {
    const isRun = id === run_id
    this.#note(`deliver ${isRun ? 'run' : 'question'} attempt ${attempt}`)
    if (isRun) this.#begins(run_id, life)
    const { promise, resolve } = Promise.withResolvers<DeliveryResult>()
    const answer = (result: DeliveryResult, delay: number): void =>
      void this.#clock.at(delay, () => {
        if (isRun) this.#ends(run_id, life)
        // An answer to a process that is gone reaches nobody.
        if (life === this.#life) resolve(result)
      })
    signal.addEventListener('abort', () => answer({ outcome: 'aborted' }, this.#below(20)), { once: true })
    const dice = this.#faults ? this.#random() : 0
    const success: DeliveryResult = {
      outcome: 'success',
      status: 'HTTP 200',
      result: body.startsWith('{"question"')
        ? `{"approve":${dice < 0.5}}`
        : this.#likely(0.3)
          ? `{"usage":{"input_tokens":${this.#below(6)}}}`
          : null,
      output: '',
    }
    if (dice < 0.6) answer(success, this.#below(1500))
    else if (dice < 0.75) answer(failure('run', 'it failed', { status: 'exit 1' }), this.#below(500))
    else if (dice < 0.85)
      answer(failure('unavailable', 'it is busy', { status: 'HTTP 503' }), this.#below(100))
    else if (dice < 0.9) answer(failure('unreachable', 'nobody is there', { status: 'ECONNREFUSED' }), 1)
    else answer(failure('timeout', 'no answer in time'), Math.min(timeout_ms, 5000))
    return promise
  }

  #begins(run_id: string, life: number): void {
    const other = this.#inHand.get(run_id)
    if (other !== undefined && other.life === life) this.problems.push(`run ${run_id} is with two at once`)
    this.#inHand.set(run_id, { run_id, life })
    this.#leases.delete(run_id)
    this.#begun.add(run_id)
  }

  #ends(run_id: string, life: number): void {
    if (this.#inHand.get(run_id)?.life === life) this.#inHand.delete(run_id)
  }

  /** A worker that asks again and again; it may die, be stopped past its lease, give back, or fail. */
  #work(): void {
    const again = (delay: number): void => void this.#clock.at(delay, () => this.#work())
    const life = this.#life
    let answered = false
    void this.#parts.workers.claim('puller', 1, 2000, undefined, new AbortController().signal).then(
      async leases => {
        answered = true
        for (const lease of leases)
          await this.#hold(lease).catch((error: unknown) =>
            error instanceof Fault ? undefined : this.problems.push(`worker: ${String(error)}`),
          )
        again(this.#below(200))
      },
      () => ((answered = true), again(500)),
    )
    // Its connection breaks when the router dies.
    const watch = (): void =>
      void this.#clock.at(1000, () => (answered ? undefined : life === this.#life ? watch() : again(100)))
    watch()
  }

  async #hold({ run_id, lease_token }: GivenLease): Promise<void> {
    this.#leases.set(run_id, lease_token)
    const wait = (ms: number): Promise<void> => new Promise(resolve => void this.#clock.at(ms, resolve))
    /** What a worker says; taken from one whose lease another has now, it is a fault. */
    const say = async <T>(
      saying: (workers: DeliveryParts['workers']) => Promise<T>,
    ): Promise<T | undefined> => {
      const answer = await this.#unless(this.#life, saying(this.#parts.workers))
      if (answer !== undefined && this.#leases.get(run_id) !== lease_token)
        this.problems.push(`run ${run_id}: the word of a worker that had lost it was taken`)
      return answer
    }
    const dice = this.#faults ? this.#random() : 0.5
    if (dice < 0.05) return undefined
    if (dice < 0.1)
      return void (await say(workers => workers.yield(run_id, lease_token, this.#below(500), undefined)))
    await say(workers => workers.start_run(run_id, lease_token))
    this.#begun.add(run_id)
    for (let beats = this.#below(4); beats > 0; beats--) {
      await wait(this.#below(900))
      const said = await say(workers => workers.extend(run_id, lease_token))
      if (said?.cancel_requested === true)
        return void (await say(workers => workers.yield(run_id, lease_token, 0, undefined)))
      if (said !== undefined)
        await say(workers => workers.extend(run_id, lease_token, { paused: said.pause_requested }))
    }
    // Stopped for longer than its lease, and then it goes on as if nothing had been.
    if (dice < 0.22) await wait(3000 + this.#below(3000))
    else if (dice < 0.26) return undefined
    if (dice > 0.9)
      return void (await say(workers =>
        workers.fail(run_id, lease_token, {
          error: 'no',
          retryable: this.#likely(0.5),
          after_ms: undefined,
          usage: undefined,
        }),
      ))
    return void (await say(workers =>
      workers.complete(
        run_id,
        lease_token,
        { ok: true },
        this.#likely(0.5) ? { input_tokens: this.#below(6) } : undefined,
      ),
    ))
  }

  /** An answer, or undefined when the router died before it gave one. */
  async #unless<T>(life: number, work: Promise<T>): Promise<T | undefined> {
    const gone = new Promise<undefined>(resolve => {
      const look = (): void =>
        void this.#clock.at(500, () => (life === this.#life ? look() : resolve(undefined)))
      look()
      void work.then(
        () => resolve(undefined),
        () => resolve(undefined),
      )
    })
    return Promise.race([work, gone])
  }

  /** No faults any more, and people who help: everything that is owed comes to an end. */
  async #settle(): Promise<void> {
    for (let round = 0; round < 300; round++) {
      const { dispatcher, availabilities, runs } = this.#parts
      await this.#answer(this.#setPaused(null, dispatcher))
      for (const id of ['shared', 'push']) await this.#answer(this.#setQueue(id, false))
      for (const id of ['t0', 't1', 't2', 't3']) await this.#answer(this.#setTriggerPaused(id, false))
      for (const id of bots)
        await this.#answer(
          availabilities.say(id, {
            drained: false,
            ...(id === 'slow' ? { availability: 'ready' as const } : {}),
          }),
        )
      const open = this.#db
        .prepare<[], { id: Buffer; state: string; held_by: string | null }>(
          "SELECT id, state, held_by FROM outbox WHERE state NOT IN ('failed', 'timed_out')",
        )
        .all()
      const unrouted = this.#db.prepare<[], number>('SELECT count(*) FROM unrouted').pluck().get()
      if (open.length === 0 && unrouted === 0) return
      for (const { id, state, held_by } of open) {
        // What a budget holds goes by itself: in time, or when the budget is another.
        if (state === 'held' && held_by !== 'budget') await this.#answer(runs.release(uuid(id)))
        if (state === 'awaiting_approval') await this.#answer(runs.answer(uuid(id), { approve: true }))
        if (state === 'paused') await this.#answer(runs.resume(uuid(id), undefined))
      }
      const dead = this.#db
        .prepare<[], { id: Buffer }>("SELECT id FROM outbox WHERE state IN ('failed', 'timed_out')")
        .all()
      if (round > 20) for (const { id } of dead) await this.#answer(runs.discard(uuid(id), undefined))
      await this.#until(this.#clock.now + (round < 20 ? 2000 : 60_000))
    }
    const left = this.#db
      .prepare<[], Record<string, unknown>>(
        "SELECT seq, state, bot_id, queue, parked_on, held_by, ready, not_before, flow, lease_token FROM outbox WHERE state NOT IN ('failed', 'timed_out')",
      )
      .all()
    for (const row of left) this.problems.push(`never ended: ${JSON.stringify(row)} at ${this.#clock.now}`)
  }

  /** What holds after every commit. */
  #inspect(): void {
    const rows = this.#active.all()
    const counted = new Map<string, { count: number; limit: number }>()
    const count = (key: string, limit: number): void => {
      const { count: before } = counted.get(key) ?? { count: 0 }
      counted.set(key, { count: before + 1, limit })
    }
    for (const { flow: text, queue, bot_id, lease_token } of rows) {
      if (lease_token === null) this.problems.push('a run is with a bot and under no lease')
      const flow = text === null ? {} : (JSON.parse(text) as RunFlow)
      if (flow.concurrency !== undefined) count(flow.concurrency.lane, flow.concurrency.limit)
      if (flow.singleton !== undefined) count(flow.singleton.lane, 1)
      if (flow.order !== undefined) count(flow.order.lane, 1)
      if (queue === 'shared') count('queue shared', 2)
      count(`bot ${bot_id}`, this.#registry?.bots.get(bot_id)?.max_active ?? 10)
    }
    for (const [key, { count: found, limit }] of counted)
      if (found > limit) this.problems.push(`${key}: ${found} at once, ${limit} may be`)
  }

  /** No more runs about one thread were made in a period than its limit allows. */
  #judgeRepeats({ id, policy }: Trigger): void {
    const { repeat_limit: rate, debounce } = policy
    if (rate == null || debounce !== undefined) return
    const made = Map.groupBy(
      this.#db.prepare<[string], { thread: string; created_at: number }>(repeatedRuns).all(id),
      row => row.thread,
    )
    for (const [thread, runs] of made)
      for (const [index, { created_at }] of runs.entries()) {
        const before = runs[index - rate.limit]
        if (before !== undefined && created_at - before.created_at < rate.period_ms)
          this.problems.push(
            `trigger ${id} made more than ${rate.limit} runs about ${thread} in ${rate.period_ms} ms, at ${created_at - t0}`,
          )
      }
  }

  /** What holds in the end. */
  #judge(): void {
    const all = (sql: string): Record<string, unknown>[] =>
      this.#db.prepare<[], Record<string, unknown>>(sql).all()
    for (const [event_id, runs] of this.#accepted) {
      if (
        this.#db
          .prepare('SELECT 1 FROM event WHERE id = ?')
          .get(Buffer.from(event_id.replaceAll('-', ''), 'hex')) === undefined
      )
        this.problems.push(`event ${event_id} was answered and is lost`)
      for (const id of runs) {
        const known = this.#db
          .prepare('SELECT 1 FROM outbox WHERE id = :id UNION ALL SELECT 1 FROM run_archive WHERE id = :id')
          .get({ id: Buffer.from(id.replaceAll('-', ''), 'hex') })
        if (known === undefined) this.problems.push(`run ${id} was answered and is lost`)
      }
    }
    for (const row of all('SELECT run_seq, step, at, move, to_state FROM run_history ORDER BY run_seq, step'))
      this.trace.push(JSON.stringify(row))
    const completed = this.#db
      .prepare<[], { id: Buffer }>("SELECT id FROM run_archive WHERE state = 'completed'")
      .all()
    for (const { id } of completed)
      if (!this.#begun.has(uuid(id))) this.problems.push(`run ${uuid(id)} is completed and was never begun`)
    const legal = new Set(
      (Object.keys(moves) as MoveName[]).flatMap(name =>
        move(name).from.map(from => `${move(name).move} ${from} ${move(name).to}`),
      ),
    )
    for (const row of all(
      'SELECT DISTINCT move, from_state, to_state FROM run_history WHERE from_state IS NOT NULL',
    )) {
      const step = `${String(row.move)} ${String(row.from_state)} ${String(row.to_state)}`
      if (!legal.has(step)) this.problems.push(`no move of the table: ${step}`)
    }
    const broken = all(
      `SELECT a.run_seq FROM run_history a JOIN run_history b ON b.run_seq = a.run_seq AND b.step = a.step + 1 WHERE b.from_state <> a.to_state`,
    )
    if (broken.length > 0)
      this.problems.push(`histories that do not hang together: ${JSON.stringify(broken)}`)
    const orphans = all(
      'SELECT lane FROM run_lane LEFT JOIN outbox ON outbox.seq = run_lane.run_seq WHERE outbox.seq IS NULL',
    )
    if (orphans.length > 0) this.problems.push(`lanes of runs that are over: ${JSON.stringify(orphans)}`)
    for (const each of this.#registry.triggers.values()) this.#judgeRepeats(each)
    for (const row of all('SELECT count(*) AS n FROM unrouted'))
      if (row.n !== 0) this.problems.push(`${String(row.n)} lifecycle events were never routed`)
  }
}

/** What counts as a repeat whatever was done later: not what was over the limit, denied, or ended before it began. Debounced runs change their event. */
const repeatedRuns = `SELECT event.thread, run.created_at FROM (SELECT * FROM outbox UNION ALL SELECT * FROM run_archive) AS run JOIN event ON event.seq = run.event_seq
  WHERE run.trigger_id = ? AND run.replay = 0 AND event.thread IS NOT NULL AND (run.attempt > 0 OR run.state <> 'cancelled')
    AND NOT EXISTS (SELECT 1 FROM run_history AS step WHERE step.run_seq = run.seq AND (step.move = 'deny' OR step.reason LIKE 'repeat limit: %'))
  ORDER BY run.created_at, run.seq`

function uuid(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
