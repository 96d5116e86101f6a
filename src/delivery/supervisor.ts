// Asking before a run starts or is touched, and what becomes of runs that a limit of time has caught up with.
//
// A question stands in the store (awaiting_approval, with a deadline where there is one); the call to an approver bot is
// only a way to an answer. Whatever goes wrong with it, and silence, is a no.
import type { Bot, Policy, TriggerInput } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { ClaimAnswer, ClaimedRun, RunMove, Store, StoredRun } from '../store/store.ts'
import { nextTry, prepareForWorker, type AttemptOptions, type PushedEndpoint } from './attempt.ts'
import type { BotKind, DeliveryResult } from './bot.ts'
import { move } from './run-state.ts'

const defaultAnswerMs = 60_000
const defaultCooldownMs = 60_000

export type Question = 'start' | 'cancel' | 'pause' | 'resume'

export interface Answer {
  approve: boolean
  reason: string
}

export interface SupervisorOptions {
  store: Store
  bots: ReadonlyMap<string, Bot>
  attempt: AttemptOptions
  now: () => number
  pauseQueue: (queue: string, reason: string) => Promise<void>
  /** a run will be due then */
  dueAt: (time: number) => void
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

/** A clear yes, or why it is a no. */
function answered(result: DeliveryResult): Answer {
  if (result.outcome === 'aborted') return { approve: false, reason: 'the router stopped before the approver answered' }
  if (result.outcome === 'failure') return { approve: false, reason: `the approver could not be asked: ${result.error}` }
  let said: unknown
  try {
    said = JSON.parse(result.result ?? result.output)
  } catch {
    said = undefined
  }
  const { approve, reason } = (typeof said === 'object' && said !== null ? said : {}) as { approve?: unknown; reason?: unknown }
  if (typeof approve !== 'boolean') return { approve: false, reason: 'the approver did not answer {"approve": true} or {"approve": false}' }
  return { approve, reason: typeof reason === 'string' && reason !== '' ? reason.slice(0, 1000) : approve ? 'approved' : 'denied without a reason' }
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #stop = new AbortController()
  readonly #asking = new Set<Promise<void>>()

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  /** Ends the questions that are under way: they stay open in the store. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#asking)
  }

  /** What claims came by: runs that somebody is to be asked about, and runs whose time is over. */
  take({ asked, overdue }: Pick<ClaimAnswer, 'asked' | 'overdue'>): void {
    for (const run of asked) this.#track(this.#askToStart(run))
    if (overdue.length > 0) this.#track(Promise.all(overdue.map(run => this.#overdue(run))))
  }

  #track(work: Promise<unknown>): void {
    const tracked: Promise<void> = work.then(() => undefined, this.#options.logBug).finally(() => this.#asking.delete(tracked))
    this.#asking.add(tracked)
  }

  async #trigger(run: StoredRun): Promise<TriggerInput | null> {
    return this.#options.attempt.trigger(run.trigger_id, run.trigger_version)
  }

  async #askToStart(run: ClaimedRun): Promise<void> {
    const policy = (await this.#trigger(run))?.policy?.approval
    if (policy?.bot_id === undefined) return this.#options.log('run.awaits_approval', { run_id: run.id, trigger_id: run.trigger_id })
    const answer = await this.#call('start', run, policy)
    if (this.#stop.signal.aborted) return undefined
    try {
      await (answer.approve ? this.approve(run, answer.reason) : this.deny(run, answer.reason))
    } catch (error) {
      // A person, or the deadline, was faster.
      if (!(error instanceof Fault)) throw error
    }
    return undefined
  }

  /** Asks a trigger's approver before a run is touched; without one that is to be asked this, it is a yes. */
  async ask(question: Exclude<Question, 'start'>, run: StoredRun): Promise<Answer> {
    const policy = (await this.#trigger(run))?.policy?.approval
    if (policy?.bot_id === undefined || policy.questions?.includes(question) !== true) return { approve: true, reason: 'nobody is to be asked' }
    const event = await this.#options.store.event(run.event_id)
    return event === null ? { approve: false, reason: 'its event is not stored any more' } : this.#call(question, { ...run, event }, policy)
  }

  async #call(question: Question, run: ClaimedRun, { bot_id, timeout_ms = defaultAnswerMs }: NonNullable<Policy['approval']>): Promise<Answer> {
    const { bots, attempt, log } = this.#options
    const bot = bots.get(bot_id!)
    if (bot === undefined || !bot.enabled || bot.endpoint.kind === 'pull') {
      const why = bot === undefined ? 'does not exist' : bot.enabled ? 'is of kind pull, which cannot be asked' : 'is disabled'
      return { approve: false, reason: `the approver ${bot_id} ${why}` }
    }
    const prepared = await prepareForWorker(run, attempt)
    if (!('body' in prepared)) return { approve: false, reason: prepared.refused.reason ?? 'the question could not be put together' }
    const body = `{"question":${JSON.stringify(question)},${prepared.body.slice(1)}`
    const kind = attempt.kinds[bot.endpoint.kind] as BotKind<PushedEndpoint>
    const result = await kind.deliver(bot.endpoint, {
      run_id: run.id,
      event_id: run.event.id,
      trigger_id: run.trigger_id,
      workflow_id: run.workflow_id,
      attempt: run.denials + 1,
      body,
      scope: () => JSON.parse(body) as unknown,
      timeout_ms,
      signal: this.#stop.signal,
    })
    const answer = answered(result)
    log('run.approver_answered', { run_id: run.id, bot_id, question, approve: answer.approve, reason: answer.reason })
    return answer
  }

  /** A yes to the start of a run. Throws Fault invalid_state where it does not wait for one any more. */
  approve(run: StoredRun, reason: string): Promise<StoredRun> {
    return this.#made(run, { run_id: run.id, at: this.#options.now(), ...move('approve'), approve: true, error: null, reason })
  }

  /** A no: asked again later, or held once it is enough. Throws Fault invalid_state where it does not wait for an answer any more. */
  async deny(run: StoredRun, reason: string): Promise<StoredRun> {
    const { now, dueAt, pauseQueue } = this.#options
    const { approval, retry_on } = (await this.#trigger(run))?.policy ?? {}
    const { cooldown_ms = defaultCooldownMs, max_denials = 1, on_denied = 'hold' } = approval ?? {}
    const at = now()
    const common = { run_id: run.id, at, deny: true, error: `denied: ${reason}`, reason }
    const again = run.denials + 1 < max_denials && retry_on?.includes('denied') !== false
    if (again) {
      const denied = await this.#made(run, { ...common, ...move('deny_for_now'), not_before: at + cooldown_ms })
      dueAt(at + cooldown_ms)
      return denied
    }
    const held = await this.#made(run, { ...common, ...move('deny'), held_by: 'approval' })
    if (on_denied === 'pause_queue') await pauseQueue(run.queue, `run ${run.id} was denied: ${reason}`)
    return held
  }

  async #made(run: StoredRun, run_move: RunMove): Promise<StoredRun> {
    const [outcome] = await this.#options.store.move([run_move])
    if (outcome?.kind === 'moved') return outcome.run
    const state = outcome?.kind === 'refused' ? outcome.run.state : 'not stored'
    throw new Fault('invalid_state', `run ${run.id} is ${state} and waits for no answer`, { data: { state } })
  }

  /** A limit of time has caught up with a run; another move that came first has the last word. */
  async #overdue(run: StoredRun): Promise<void> {
    const { store, attempt, now, log, dueAt } = this.#options
    if (run.deadline_at === null) return
    if (run.deadline_name === 'approval') {
      await this.deny(run, 'no answer in time').catch((error: unknown) => {
        if (!(error instanceof Fault)) throw error
      })
      return
    }
    const at = now()
    const base = { run_id: run.id, at, deadline_seen: run.deadline_at }
    const policy = (await this.#trigger(run))?.policy
    const reason = `${run.deadline_name} is over`
    if (run.deadline_name === 'max_age_ms') await store.move([{ ...base, ...move('cancel'), reason, error: reason }])
    else {
      const next = nextTry(run, policy, 'timeout', policy?.retry !== undefined, attempt)
      const row =
        run.state === 'assigned' ? {} : { attempt: { started_at: 0, ended_at: at, outcome: 'timeout' as const, status: null, error: reason, output: null } }
      const from = ['assigned', 'running', 'paused'] as const
      if (next === null) await store.move([{ ...base, ...move('time_out'), ...row, reason, error: reason }])
      else {
        await store.move([{ ...base, ...move('recover'), from, ...row, not_before: next, reason, error: reason }])
        dueAt(next)
      }
    }
    log('run.overdue', { run_id: run.id, limit: run.deadline_name })
  }
}
