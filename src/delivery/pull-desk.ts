// Where workers ask for runs: claims that may wait, and what a worker says of a run that it holds.
//
// A lease stands in the store, under a token that goes with every call; here is only when it ends, and who waits. It
// outlives the router: after a restart the same worker goes on with the same token.
// States: stopped -> running -> stopped. A run that a worker holds is assigned, then running.
import { hash } from 'node:crypto'
import type { Bot, TriggerInput } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import { workerTokenPrefix, type ClaimedRun, type RunMove, type Store, type StoredRun, type WorkerLease } from '../store/store.ts'
import { failedByWorker, prepareForWorker, type AttemptOptions } from './attempt.ts'
import { move, type MoveName } from './run-state.ts'

const defaultLeaseMs = 60_000
/** How long after its end a lease is taken back: a heartbeat on its way may still come. */
const graceMs = 500
const longestTimerMs = 2 ** 31 - 1
const maxResultBytes = 65_536
const storePauseMs = 1000
/** Leases that one batch takes back. */
const mostTakenBack = 500

export interface PullDeskOptions {
  store: Store
  bots: ReadonlyMap<string, Bot>
  attempt: AttemptOptions
  now: () => number
  /** 32 hex digits */
  makeToken: () => string
  /** runs of these bots have become due with a claim */
  becameDue: (bot_ids: string[]) => void
  /** a run will be due then */
  dueAt: (time: number) => void
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

/** A run that a worker has been given; body: {run, event, trigger, inputs, allowed_tools} as JSON. */
export interface GivenLease {
  run_id: string
  lease_token: string
  lease_until: number
  body: string
}

interface LeaseState {
  lease_until: number
  cancel_requested: boolean
}

/** The workers of a bot that ask for runs: their claims go one after the other. */
interface Line {
  tail: Promise<void>
  wake: PromiseWithResolvers<void>
}

export class PullDesk {
  readonly #options: PullDeskOptions
  readonly #leases = new Map<string, WorkerLease>()
  readonly #lines = new Map<string, Line>()
  #running = false
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity

  constructor(options: PullDeskOptions) {
    this.#options = options
  }

  start(leases: readonly WorkerLease[]): void {
    this.#running = true
    for (const lease of leases) this.#hold(lease)
  }

  /** Nobody is given anything more; those who wait are answered with nothing. Leases go on. */
  stop(): void {
    this.#running = false
    clearTimeout(this.#timer)
    for (const { wake } of this.#lines.values()) wake.resolve()
  }

  /** Runs that workers of a bot hold. */
  activeOf(bot_id: string): number {
    let count = 0
    for (const lease of this.#leases.values()) if (lease.bot_id === bot_id) count++
    return count
  }

  /** Runs of this bot may be due, or it has room again. */
  wake(bot_id: string): void {
    const line = this.#lines.get(bot_id)
    if (line === undefined) return
    line.wake.resolve()
    line.wake = Promise.withResolvers()
  }

  /** Gives a worker runs, as soon as there are some, or none after the wait. Throws Fault not_found, invalid_state, disabled and shutting_down. */
  async claim(bot_id: string, max: number, wait_ms: number, signal: AbortSignal): Promise<GivenLease[]> {
    const until = performance.now() + wait_ms
    for (;;) {
      this.#bot(bot_id)
      if (!this.#running) throw new Fault('shutting_down', 'the router is shutting down; ask again in a moment', { retryAfterS: 5 })
      const line = this.#line(bot_id)
      const woken = line.wake.promise
      const mine = line.tail.then(() => this.#claimNow(bot_id, max, signal))
      line.tail = mine.then(
        () => undefined,
        () => undefined,
      )
      const given = await mine
      const left = until - performance.now()
      if (given.length > 0 || left <= 0 || signal.aborted) return given
      await this.#wait(woken, left, signal)
    }
  }

  async #wait(woken: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
    const { promise: over, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    const onAbort = (): void => resolve()
    signal.addEventListener('abort', onAbort)
    await Promise.race([woken, over])
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }

  #line(bot_id: string): Line {
    const present = this.#lines.get(bot_id)
    if (present !== undefined) return present
    const line = { tail: Promise.resolve(), wake: Promise.withResolvers<void>() }
    this.#lines.set(bot_id, line)
    return line
  }

  #bot(bot_id: string): { bot: Bot; lease_ms: number } {
    const bot = this.#options.bots.get(bot_id)
    if (bot === undefined) throw new Fault('not_found', `there is no bot ${bot_id}; bot.list shows what there is`)
    if (bot.endpoint.kind !== 'pull') throw new Fault('invalid_state', `bot ${bot_id} is of kind ${bot.endpoint.kind}: the router delivers its runs itself`)
    if (!bot.enabled) throw new Fault('disabled', `the bot ${bot_id} is disabled; enable it with bot.put`)
    return { bot, lease_ms: bot.endpoint.lease_ms ?? defaultLeaseMs }
  }

  async #claimNow(bot_id: string, max: number, signal: AbortSignal): Promise<GivenLease[]> {
    const { bot, lease_ms } = this.#bot(bot_id)
    const room = Math.min(max, bot.max_active - this.activeOf(bot_id))
    if (room <= 0 || signal.aborted || !this.#running) return []
    const { store, now, makeToken, becameDue, dueAt } = this.#options
    const at = now()
    const lease_until = at + lease_ms
    const worker_tokens = Array.from({ length: room }, () => `${workerTokenPrefix}${makeToken()}`)
    const { runs, became_due, next_due_at } = await store.claim({ bots: [{ bot_id, room }], limit: room, now: at, lease_token: '', lease_until, worker_tokens })
    if (next_due_at !== null) dueAt(next_due_at)
    if (became_due.length > 0) becameDue(became_due)
    for (const run of runs) this.#hold({ run_id: run.id, bot_id, lease_token: run.lease_token!, lease_until })
    // Who went away meanwhile was given nothing: it waits for the next.
    if (signal.aborted) {
      await Promise.all(runs.map(run => this.#giveBack(run.id, run.lease_token!, 'the worker went away before it was answered')))
      return []
    }
    const given = await Promise.all(runs.map(run => this.#given(run, lease_until)))
    return given.filter(each => each !== undefined)
  }

  /** undefined for a run that cannot be delivered to anybody: it is dead, or waits for another try. */
  async #given(run: ClaimedRun, lease_until: number): Promise<GivenLease | undefined> {
    const lease_token = run.lease_token!
    try {
      const prepared = await prepareForWorker(run, this.#options.attempt)
      if ('body' in prepared) return { run_id: run.id, lease_token, lease_until, body: prepared.body }
      await this.#settle([this.#startMove(run.id, lease_token), prepared.refused])
    } catch (error) {
      // Its lease ends by itself; the others of the claim are given all the same.
      if (!(error instanceof Fault)) this.#options.logBug(error)
    }
    return undefined
  }

  #startMove(run_id: string, lease_token: string): RunMove {
    return { run_id, lease_token, at: this.#options.now(), ...move('start'), count_attempt: true }
  }

  async #giveBack(run_id: string, lease_token: string, reason: string): Promise<void> {
    await this.#settle([{ run_id, lease_token, at: this.#options.now(), ...move('put_back'), reason }])
  }

  /** Makes moves of one run, the last of which that is made tells; the run is let go where nobody holds it any more. */
  async #settle(run_moves: RunMove[], enough: 'last' | 'any' = 'last'): Promise<StoredRun> {
    const outcomes = await this.#options.store.move(run_moves)
    const last = enough === 'any' ? (outcomes.findLast(outcome => outcome.kind === 'moved') ?? outcomes.at(-1)!) : outcomes.at(-1)!
    const { run_id, lease_token } = run_moves[0]!
    if (last.kind === 'not_found') throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
    if (last.kind === 'refused') throw this.#lost(last.run)
    if (last.run.lease_token === null) this.#release(lease_token!, last.run)
    return last.run
  }

  #lost({ id, state }: StoredRun): Fault {
    return new Fault('lease_lost', `the lease of run ${id} is not under this token (the run is ${state}); nothing was changed: stop working on it`, {
      data: { state },
    })
  }

  #hold(lease: WorkerLease): void {
    this.#leases.set(lease.run_id, lease)
    this.#expireAt(lease.lease_until + graceMs)
  }

  /** A run is under this token no more; under another it may be. */
  #release(lease_token: string, run: StoredRun): void {
    if (this.#leases.get(run.id)?.lease_token === lease_token) this.#leases.delete(run.id)
    const { now, dueAt, becameDue } = this.#options
    if (run.state === 'pending' && run.not_before > now()) dueAt(run.not_before)
    becameDue([run.bot_id])
  }

  #expireAt(time: number): void {
    if (time >= this.#timerAt || !this.#running) return
    clearTimeout(this.#timer)
    this.#timerAt = time
    const wait = Math.min(Math.max(0, time - this.#options.now()), longestTimerMs)
    this.#timer = setTimeout(() => void this.#expire(), wait)
  }

  /** Takes back what has not been heard of, each only under the token that was seen and while its lease is over; one at a time. */
  async #expire(): Promise<void> {
    const { now, logBug } = this.#options
    let next = Infinity
    try {
      const at = now()
      const over = [...this.#leases.values()].filter(lease => lease.lease_until + graceMs <= at).slice(0, mostTakenBack)
      if (over.length > 0) await this.#takeBack(over, at)
      // What was refused is looked at once more: a heartbeat may be on its way into the map.
      if (over.length > 0) next = now() + graceMs
    } catch (error) {
      logBug(error)
      next = now() + storePauseMs
    }
    this.#timerAt = Infinity
    for (const { lease_until } of this.#leases.values()) next = Math.min(next, Math.max(lease_until + graceMs, now() + graceMs / 5))
    if (next !== Infinity) this.#expireAt(next)
  }

  async #takeBack(over: readonly WorkerLease[], at: number): Promise<void> {
    const reason = 'its worker was not heard of for a whole lease'
    const attempt = { started_at: 0, ended_at: at, outcome: 'unknown' as const, status: null, error: reason, output: null }
    const outcomes = await this.#options.store.move(
      over.flatMap(({ run_id, lease_token }): RunMove[] => {
        const base = { run_id, lease_token, at, reason, not_before: at, expired_at: at }
        return [
          { ...base, ...move('put_back'), from: ['assigned'] },
          { ...base, ...move('recover'), from: ['running', 'paused'], attempt },
        ]
      }),
    )
    for (const [index, { run_id, bot_id, lease_token }] of over.entries()) {
      const [assigned, running] = [outcomes[2 * index]!, outcomes[2 * index + 1]!]
      const moved = [assigned, running].find(outcome => outcome.kind === 'moved')
      if (moved?.kind === 'moved') {
        this.#release(lease_token, moved.run)
        this.#options.log('lease.expired', { run_id, bot_id })
      } else if (running.kind === 'not_found' || (running.kind === 'refused' && running.run.lease_token !== lease_token)) {
        if (this.#leases.get(run_id)?.lease_token === lease_token) this.#leases.delete(run_id)
      }
    }
  }

  async start_run(run_id: string, lease_token: string): Promise<StoredRun> {
    return this.#settle([this.#startMove(run_id, lease_token)])
  }

  /** Keeps a run for another lease; note: a row of its history. Throws Fault not_found and lease_lost. */
  async extend(run_id: string, lease_token: string, note?: string): Promise<LeaseState> {
    const { store, now, bots } = this.#options
    const run = await store.run(run_id)
    if (run === null) throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
    const endpoint = bots.get(run.bot_id)?.endpoint
    const at = now()
    const lease_until = at + (endpoint?.kind === 'pull' ? (endpoint.lease_ms ?? defaultLeaseMs) : defaultLeaseMs)
    const names: MoveName[] = note === undefined ? ['extend_running', 'extend', 'extend_paused'] : ['progress']
    for (const name of names) {
      const [outcome] = await store.move([
        {
          run_id,
          lease_token,
          at,
          ...move(name),
          lease_until,
          touch: note === undefined ? 'silent' : 'noted',
          ...(note === undefined ? {} : { reason: note }),
        },
      ])
      if (outcome?.kind !== 'moved') continue
      this.#hold({ run_id, bot_id: run.bot_id, lease_token, lease_until })
      return { lease_until, cancel_requested: outcome.run.cancel_requested }
    }
    if (note !== undefined && run.state === 'assigned' && run.lease_token === lease_token)
      throw new Fault('invalid_state', `run ${run_id} has not begun; say so with run.start first`, { data: { state: run.state } })
    throw this.#lost(run)
  }

  /** Throws Fault not_found, lease_lost and too_large. The same completion again answers the same. */
  async complete(run_id: string, lease_token: string, result: unknown): Promise<StoredRun> {
    const { now } = this.#options
    const text = result === undefined ? null : JSON.stringify(result)
    if (text !== null && Buffer.byteLength(text) > maxResultBytes)
      throw new Fault('too_large', `a result has at most ${maxResultBytes} bytes as JSON; found ${Buffer.byteLength(text)}`)
    const at = now()
    const attempt = { started_at: 0, ended_at: at, outcome: 'success' as const, status: tokenMark(lease_token), error: null, output: null }
    try {
      return await this.#settle([this.#startMove(run_id, lease_token), { run_id, lease_token, at, ...move('complete'), attempt, result: text, error: null }])
    } catch (error) {
      const done = error instanceof Fault && error.fault === 'lease_lost' ? await this.#completedBefore(run_id, lease_token) : undefined
      if (done === undefined) throw error
      return done
    }
  }

  async #completedBefore(run_id: string, lease_token: string): Promise<StoredRun | undefined> {
    const { store } = this.#options
    const [run, found] = [await store.run(run_id), await store.history(run_id)]
    const last = found?.attempts.at(-1)
    return run?.state === 'completed' && last?.status === tokenMark(lease_token) ? run : undefined
  }

  /** Throws Fault not_found and lease_lost. */
  async fail(run_id: string, lease_token: string, said: { error: string; retryable: boolean; after_ms: number | undefined }): Promise<StoredRun> {
    const { store, attempt } = this.#options
    const run = await store.run(run_id)
    if (run === null) throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
    if (run.lease_token !== lease_token) throw this.#lost(run)
    const trigger: TriggerInput | null = await attempt.trigger(run.trigger_id, run.trigger_version)
    const counted = run.state === 'assigned' ? { ...run, attempt: run.attempt + 1 } : run
    const start = run.state === 'assigned' ? [this.#startMove(run_id, lease_token)] : []
    return this.#settle([...start, failedByWorker(counted, trigger, said, attempt)])
  }

  /** Throws Fault not_found and lease_lost. */
  yield(run_id: string, lease_token: string, after_ms: number, reason: string | undefined): Promise<StoredRun> {
    const at = this.#options.now()
    const base = { run_id, lease_token, at, ...move('put_back'), not_before: at + after_ms, reason: reason ?? 'given back by its worker' }
    return this.#settle(
      [
        { ...base, from: ['assigned'] },
        { ...base, from: ['running'], uncount_attempt: true },
      ],
      'any',
    )
  }
}

/** What an attempt keeps of the token that ended it: enough to know it again. */
function tokenMark(lease_token: string): string {
  return `worker ${hash('sha256', lease_token).slice(0, 16)}`
}
