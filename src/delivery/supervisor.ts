// Asking before a run starts or is touched, and what becomes of runs that a limit of time has caught up with.
//
// A question is stored (awaiting_approval, with a deadline where there is one); the call to an approver bot is
// only a way to an answer. Whatever goes wrong with it, and silence, is a no.
import { randomUUID } from 'node:crypto'
import { defaults } from '../contract/defaults.ts'
import type { Bot, Policy, TriggerInput } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import { exactJson } from '../exact-json.ts'
import type { ClaimAnswer, ClaimedRun, MoveOutcome, RunMove, Store, StoredRun } from '../store/store.ts'
import { answerValue } from './answer-json.ts'
import { prepareQuestion, readableTrigger } from './attempt.ts'
import { nextTry } from './outcome-moves.ts'
import type { AttemptOptions, PushedEndpoint } from './attempt-options.ts'
import type { BotKind, DeliveryResult } from './bot.ts'
import { move } from './run-state.ts'

const defaultAnswerMs = 60_000
const pageSize = 500

export type Question = 'start' | 'cancel' | 'pause' | 'resume'

/** What an answer is an answer to: this question, and no later one. */
type Guard = Pick<RunMove, 'steps_seen' | 'deadline_seen'>

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
  /** a worker has lost a run */
  released: (run: StoredRun, lease_token: string) => void
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

/** A clear yes, or why it is a no. */
function answered(result: DeliveryResult): Answer {
  if (result.outcome === 'aborted')
    return { approve: false, reason: 'the router stopped before the approver answered' }
  if (result.outcome === 'failure')
    return { approve: false, reason: `the approver could not be asked: ${result.error}` }
  const said = answerValue((result.outcome === 'success' ? result.result : null) ?? result.output)?.value
  const { approve, reason } = (typeof said === 'object' && said !== null ? said : {}) as {
    approve?: unknown
    reason?: unknown
  }
  if (typeof approve !== 'boolean')
    return { approve: false, reason: 'the approver did not answer {"approve": true} or {"approve": false}' }
  return {
    approve,
    reason:
      typeof reason === 'string' && reason !== ''
        ? reason.slice(0, 1000)
        : approve
          ? 'approved'
          : 'denied without a reason',
  }
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

  /** What claims found: runs that need an approval, and runs whose time limit has passed. */
  take({ asked, overdue }: Pick<ClaimAnswer, 'asked' | 'overdue'>): void {
    for (const run of asked) this.#track(this.#askToStart(run))
    if (overdue.length > 0) this.#track(Promise.all(overdue.map(run => this.#overdue(run))))
  }

  #track(work: Promise<unknown>): void {
    const tracked: Promise<void> = work
      .then(() => undefined, this.#options.logBug)
      .finally(() => this.#asking.delete(tracked))
    this.#asking.add(tracked)
  }

  async #trigger(run: StoredRun): Promise<TriggerInput | null> {
    return readableTrigger(run, this.#options.attempt)
  }

  async #askToStart(run: ClaimedRun): Promise<void> {
    const policy = (await this.#trigger(run))?.policy?.approval
    if (policy?.bot_id === undefined)
      return this.#options.log('run.awaits_approval', { run_id: run.id, trigger_id: run.trigger_id })
    const answer = await this.#call('start', run, policy)
    if (this.#stop.signal.aborted) return undefined
    try {
      const guard = { steps_seen: run.steps }
      await (answer.approve ? this.approve(run, answer.reason, guard) : this.deny(run, answer.reason, guard))
    } catch (error) {
      // A person, or the deadline, was faster.
      if (!(error instanceof Fault)) throw error
    }
    return undefined
  }

  /** Asks a trigger's approver before a run is touched; without one that is to be asked this, it is a yes. */
  async ask(question: Exclude<Question, 'start'>, run: StoredRun): Promise<Answer> {
    const policy = (await this.#trigger(run))?.policy?.approval
    if (policy?.bot_id === undefined || policy.questions?.includes(question) !== true)
      return { approve: true, reason: 'no approver is configured' }
    const event = await this.#options.store.event(run.event_id)
    return event === null
      ? { approve: false, reason: 'its event is not stored any more' }
      : this.#call(question, { ...run, event }, policy)
  }

  async #call(
    question: Question,
    run: ClaimedRun,
    { bot_id, timeout_ms = defaultAnswerMs }: NonNullable<Policy['approval']>,
  ): Promise<Answer> {
    const { bots, attempt, log } = this.#options
    const bot = bots.get(bot_id!)
    if (
      bot === undefined ||
      !bot.enabled ||
      bot.endpoint.kind === 'pull' ||
      bot.endpoint.kind === 'emit' ||
      bot.endpoint.kind === 'notify'
    ) {
      const why =
        bot === undefined
          ? 'does not exist'
          : bot.enabled
            ? `is of kind ${bot.endpoint.kind}, which cannot be asked`
            : 'is disabled'
      return { approve: false, reason: `the approver ${bot_id} ${why}` }
    }
    const prepared = await prepareQuestion(run, attempt)
    if ('problem' in prepared) return { approve: false, reason: prepared.problem }
    const body = `{"question":${JSON.stringify(question)},${prepared.body.slice(1)}`
    const kind = attempt.kinds[bot.endpoint.kind] as BotKind<PushedEndpoint>
    const result = await kind.deliver(bot.endpoint, {
      // Each question is one of its own: not the run that it is about, and no other question about it.
      id: randomUUID(),
      own: null,
      callback: null,
      capture: null,
      made: () => undefined,
      run_id: run.id,
      event_id: run.event.id,
      trigger_id: run.trigger_id,
      workflow_id: run.workflow_id,
      attempt: run.denials + 1,
      context: [],
      depth: (run.event.causation?.depth ?? 0) + 1,
      body,
      scope: () => exactJson(body),
      timeout_ms,
      signal: this.#stop.signal,
    })
    const answer = answered(result)
    log('run.approver_answered', {
      run_id: run.id,
      bot_id,
      question,
      approve: answer.approve,
      reason: answer.reason,
    })
    return answer
  }

  /** A yes to the start of a run. Throws Fault invalid_state where it does not wait for one any more. */
  approve(run: StoredRun, reason: string, guard: Guard = {}): Promise<StoredRun> {
    return this.#made(run, {
      ...guard,
      run_id: run.id,
      at: this.#options.now(),
      ...move('approve'),
      approve: true,
      error: null,
      reason,
    })
  }

  /** A no: asked again later, or held once it is enough. Throws Fault invalid_state where it does not wait for an answer any more. */
  async deny(run: StoredRun, reason: string, guard: Guard = {}): Promise<StoredRun> {
    const { now, dueAt, pauseQueue } = this.#options
    const { approval, retry_on } = (await this.#trigger(run))?.policy ?? {}
    const { cooldown_ms, max_denials, on_denied } = { ...defaults.Approval, ...approval }
    const at = now()
    const common = {
      ...guard,
      run_id: run.id,
      at,
      deny: true,
      error: reason.startsWith('denied by ') ? reason : `denied: ${reason}`,
      reason,
    }
    const again = run.denials + 1 < max_denials && retry_on?.includes('denied') !== false
    if (again) {
      const denied = await this.#made(run, {
        ...common,
        ...move('deny_for_now'),
        not_before: at + cooldown_ms,
      })
      dueAt(at + cooldown_ms)
      return denied
    }
    const held = await this.#made(run, { ...common, ...move('deny'), held_by: 'approval' })
    if (on_denied === 'pause_queue' && run.queue !== '')
      await pauseQueue(run.queue, `run ${run.id} was denied: ${reason}`)
    return held
  }

  async #made(run: StoredRun, run_move: RunMove): Promise<StoredRun> {
    const [outcome] = await this.#options.store.move([run_move])
    if (outcome?.kind === 'moved') return outcome.run
    const found = outcome?.kind === 'refused' ? outcome.run : undefined
    if (
      found?.state === 'awaiting_approval' &&
      run_move.steps_seen !== undefined &&
      run_move.steps_seen !== found.steps
    )
      throw new Fault(
        'conflict',
        `run ${run.id} is at version ${found.steps}, the decision is for version ${run_move.steps_seen}; look at it again`,
        {
          data: { found: found.steps },
        },
      )
    const state = found?.state ?? 'not stored'
    throw new Fault('invalid_state', `run ${run.id} is ${state} and waits for no answer`, { data: { state } })
  }

  /** A limit of time has caught up with a run; another move that came first has the last word. */
  async #overdue(run: StoredRun): Promise<void> {
    const { now, log, released } = this.#options
    if (run.deadline_at === null) return
    if (run.deadline_name === 'approval') {
      await this.deny(run, 'no answer in time', { deadline_seen: run.deadline_at }).catch(
        (error: unknown) => {
          if (!(error instanceof Fault)) throw error
        },
      )
      return
    }
    const at = now()
    const outcome = await this.#ended(run, at, `${run.deadline_name} is over`)
    if (outcome?.kind !== 'moved') return
    if (run.lease_token !== null) released(outcome.run, run.lease_token)
    log('run.overdue', { run_id: run.id, limit: run.deadline_name })
  }

  /** What a limit of time makes of a run: one that never began waits for its bot again, or is too old for it. */
  async #ended(run: StoredRun, at: number, reason: string): Promise<MoveOutcome | undefined> {
    const { store, attempt } = this.#options
    const base = { run_id: run.id, at, deadline_seen: run.deadline_at!, reason }
    const one = async (run_move: RunMove): Promise<MoveOutcome | undefined> =>
      (await store.move([run_move]))[0]
    if (run.deadline_name === 'max_age_ms') return one({ ...base, ...move('cancel'), error: reason })
    if (run.state === 'assigned')
      return one({ ...base, ...move('put_back'), from: ['assigned'], not_before: at })
    const policy = (await this.#trigger(run))?.policy
    const next = nextTry(run, policy, 'timeout', policy?.retry !== undefined, attempt)
    const row = {
      started_at: 0,
      ended_at: at,
      outcome: 'timeout' as const,
      status: null,
      error: reason,
      output: null,
    }
    const from = ['running', 'paused'] as const
    if (next === null) return one({ ...base, ...move('time_out'), from, attempt: row, error: reason })
    return one({ ...base, ...move('recover'), from, attempt: row, not_before: next, error: reason })
  }

  /** Questions that the previous process had asked bots are asked again: their answers could not arrive. */
  async recover(): Promise<void> {
    const { store, now } = this.#options
    for (let after: number | null = null; ;) {
      const runs: StoredRun[] = await store.runs({ state: 'awaiting_approval', limit: pageSize, after })
      for (const run of runs) {
        if ((await this.#trigger(run))?.policy?.approval?.bot_id === undefined) continue
        const reason = 'asked again: the router stopped before there was an answer'
        await store.move([{ run_id: run.id, at: now(), ...move('ask_again'), steps_seen: run.steps, reason }])
      }
      if (runs.length < pageSize) return
      after = runs.at(-1)!.seq
    }
  }
}
