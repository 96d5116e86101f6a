// Where workers ask for runs: claims that may wait, and what a worker says of a run that it holds.
//
// A lease is stored, under a token that is part of every call; this file has only its end, and the workers that wait. It
// outlives the router: after a restart the same worker goes on with the same token.
// States: stopped -> running -> stopped. A run that a worker holds is assigned, then running.
import type { Bot, LeaseState } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import { noSuch } from '../nearest-id.ts'
import {
  workerTokenPrefix,
  type ClaimedRun,
  type ClaimRequest,
  type RunMove,
  type Store,
  type StoredRun,
  type UsageReport,
  type WorkerLease,
} from '../store/store.ts'
import { offers } from './assignment.ts'
import { failedByWorker, prepareForWorker, readableTrigger, type SaidFailure } from './attempt.ts'
import type { AttemptOptions } from './attempt-options.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { BotAvailability, Load } from './bot-availability.ts'
import { leaseMs, tokenMark } from './lease-terms.ts'
import { Leases } from './leases.ts'
import { move, type MoveName } from './run-state.ts'
import { usageShrank, type Extension } from './usage.ts'

const maxResultBytes = 65_536

export interface WorkerClaimsOptions {
  store: Store
  bots: ReadonlyMap<string, Bot>
  attempt: AttemptOptions
  now: () => number
  /** 32 hex digits */
  makeToken: () => string
  availabilities: BotAvailability
  dispatcher: Pick<Dispatcher, 'noteOfWorker' | 'wakes' | 'needs' | 'paused' | 'wake' | 'dueAt'>
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

/** A run that a worker has been given; body: what every bot is given, as JSON. */
export interface GivenLease {
  run_id: string
  lease_token: string
  lease_until: number
  body: string
}

/** A claim of a worker that is to be made. */
interface Asking {
  max: number
  capabilities: readonly string[] | undefined
  signal: AbortSignal
  resolve: (given: GivenLease[]) => void
  reject: (error: unknown) => void
}

/** The workers of a bot that claim runs: those that ask while a claim is running share the next one. */
interface Line {
  asking: Asking[]
  busy: boolean
  wake: PromiseWithResolvers<void>
  /** claims that wait for a run */
  waiting: number
}

export class WorkerClaims {
  readonly #options: WorkerClaimsOptions
  readonly #leases: Leases
  readonly #lines = new Map<string, Line>()
  #running = false

  constructor(options: WorkerClaimsOptions) {
    this.#options = options
    this.#leases = new Leases({ ...options, onExpired: run => this.#free(run) })
  }

  start(leases: readonly WorkerLease[]): void {
    this.#running = true
    this.#leases.start(leases)
  }

  /** No worker is given a run any more; waiting workers get an empty answer. Leases continue. */
  stop(): void {
    this.#running = false
    this.#leases.stop()
    for (const { wake } of this.#lines.values()) wake.resolve()
  }

  /** Runs that workers of a bot hold. */
  activeOf(bot_id: string): number {
    return this.#leases.activeOf(bot_id)
  }

  /** Runs of this bot may be due, or it has room again. */
  wake(bot_id: string): void {
    const line = this.#lines.get(bot_id)
    if (line === undefined) return
    line.wake.resolve()
    line.wake = Promise.withResolvers()
  }

  /** How a bot stands whose workers ask: one may be given a run while one of them waits. */
  load(bot_id: string): Load {
    const active = this.activeOf(bot_id)
    const most = this.#options.bots.get(bot_id)?.max_active ?? 0
    return { active, room: (this.#lines.get(bot_id)?.waiting ?? 0) > 0 ? most - active : 0 }
  }

  /** Gives a worker runs, as soon as there are some, or none after the wait. Throws Fault not_found, invalid_state, disabled and shutting_down. */
  async claim(
    bot_id: string,
    max: number,
    wait_ms: number,
    capabilities: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<GivenLease[]> {
    const until = performance.now() + wait_ms
    for (;;) {
      this.#bot(bot_id)
      if (!this.#running)
        throw new Fault('shutting_down', 'the router is shutting down; ask again in a moment', {
          retryAfterS: 5,
        })
      const line = this.#line(bot_id)
      const woken = line.wake.promise
      const given = await this.#turn(bot_id, line, { max, capabilities, signal })
      // What was left to it because it stood best is for others now.
      if (signal.aborted) this.#options.dispatcher.wake([])
      const left = until - performance.now()
      if (given.length > 0 || left <= 0 || signal.aborted) return given
      line.waiting++
      await this.#wait(woken, left, signal)
      line.waiting--
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
    const line = this.#lines.get(bot_id) ?? {
      asking: [],
      busy: false,
      wake: Promise.withResolvers<void>(),
      waiting: 0,
    }
    this.#lines.set(bot_id, line)
    return line
  }

  #bot(bot_id: string): { bot: Bot; lease_ms: number } {
    const bot = this.#options.bots.get(bot_id)
    if (bot === undefined)
      throw new Fault('not_found', noSuch('bot', bot_id, 'bot.list', this.#options.bots.keys()))
    if (bot.endpoint.kind !== 'pull')
      throw new Fault(
        'invalid_state',
        `bot ${bot_id} is of kind ${bot.endpoint.kind}: the router delivers its runs itself`,
      )
    if (!bot.enabled) throw new Fault('disabled', `the bot ${bot_id} is disabled; enable it with bot.put`)
    return { bot, lease_ms: leaseMs(bot.endpoint) }
  }

  /** What a bot's workers may be given: its own runs, and those of the needs that it meets. */
  #asksFor(bot: Bot, room: number, capabilities: readonly string[] | undefined): ClaimRequest['bots'] {
    const able = {
      ...bot,
      ...(capabilities === undefined
        ? {}
        : { capabilities: (bot.capabilities ?? []).filter(each => capabilities.includes(each)) }),
    }
    const { availabilities } = this.#options
    const met =
      availabilities.availability(bot) === 'degraded'
        ? []
        : this.#options.dispatcher.needs().filter(({ need }) => offers(able, need))
    const active = this.activeOf(bot.id)
    return [
      { bot_id: bot.id, room },
      ...met.map(({ key, need }) => ({
        bot_id: key,
        room,
        choices: Array.from({ length: room }, (_, index) => availabilities.chosen(need, bot, active + index)),
      })),
    ]
  }

  #turn(bot_id: string, line: Line, asked: Omit<Asking, 'resolve' | 'reject'>): Promise<GivenLease[]> {
    const { promise, resolve, reject } = Promise.withResolvers<GivenLease[]>()
    line.asking.push({ ...asked, resolve, reject })
    if (!line.busy) void this.#serve(bot_id, line)
    return promise
  }

  /** Makes claims until no worker asks: one after the other, each for all workers that ask for the same. */
  async #serve(bot_id: string, line: Line): Promise<void> {
    line.busy = true
    while (line.asking.length > 0) {
      const wanted = JSON.stringify(line.asking[0]!.capabilities)
      const together = line.asking.filter(each => JSON.stringify(each.capabilities) === wanted)
      line.asking = line.asking.filter(each => !together.includes(each))
      try {
        await this.#claimFor(bot_id, together)
      } catch (error) {
        for (const { reject } of together) reject(error)
      }
    }
    line.busy = false
  }

  async #claimFor(bot_id: string, together: readonly Asking[]): Promise<void> {
    const { bot, lease_ms } = this.#bot(bot_id)
    const wanted = together.reduce((sum, { max, signal }) => sum + (signal.aborted ? 0 : max), 0)
    const room = Math.min(wanted, bot.max_active - this.activeOf(bot_id))
    const { store, now, makeToken, availabilities, dispatcher } = this.#options
    availabilities.heard(bot_id)
    if (room <= 0 || !this.#running || dispatcher.paused !== null || availabilities.status(bot_id).drained) {
      for (const { resolve } of together) resolve([])
      return
    }
    const asked = dispatcher.wakes
    const at = now()
    const lease_until = at + lease_ms
    const worker_tokens = Array.from({ length: room }, () => `${workerTokenPrefix}${makeToken()}`)
    const bots = this.#asksFor(bot, room, together[0]!.capabilities)
    const answer = await store.claim({
      bots,
      limit: room,
      now: at,
      lease_token: '',
      lease_until,
      worker_tokens,
    })
    const needs = bots.slice(1).map(each => each.bot_id)
    dispatcher.noteOfWorker(answer, asked, bot_id, needs)
    const runs = [...answer.runs]
    for (const run of runs)
      this.#leases.hold({ run_id: run.id, bot_id, lease_token: run.lease_token!, lease_until })
    for (const asking of together)
      void this.#give(asking, asking.signal.aborted ? [] : runs.splice(0, asking.max), lease_until)
    // Of those who went away meanwhile.
    await this.giveBack(runs)
  }

  async #give({ signal, resolve }: Asking, runs: readonly ClaimedRun[], lease_until: number): Promise<void> {
    const given = (await Promise.all(runs.map(run => this.#given(run, lease_until)))).filter(
      each => each !== undefined,
    )
    if (signal.aborted) await this.giveBack(runs).catch(this.#options.logBug)
    resolve(signal.aborted ? [] : given)
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

  /** Who went away before it was answered was given nothing: it waits for the next. */
  async giveBack(runs: readonly Pick<ClaimedRun, 'id' | 'lease_token'>[]): Promise<void> {
    const reason = 'the worker went away before it was answered'
    for (const { id, lease_token } of runs) {
      const back = {
        run_id: id,
        lease_token: lease_token!,
        at: this.#options.now(),
        ...move('put_back'),
        reason,
      }
      await this.#settle([back]).catch((error: unknown) =>
        error instanceof Fault ? undefined : Promise.reject(error),
      )
    }
  }

  /** Makes moves of one run, the last of which that is made tells; the run is dropped here when no worker holds it any more. */
  async #settle(run_moves: RunMove[], enough: 'last' | 'any' = 'last'): Promise<StoredRun> {
    const outcomes = await this.#options.store.move(run_moves)
    const last =
      enough === 'any'
        ? (outcomes.findLast(outcome => outcome.kind === 'moved') ?? outcomes.at(-1)!)
        : outcomes.at(-1)!
    const { run_id, lease_token } = run_moves[0]!
    if (last.kind === 'not_found')
      throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
    if (last.kind === 'usage_shrank') throw usageShrank(last.reported)
    if (last.kind === 'refused') throw this.#lost(last.run)
    if (last.run.lease_token === null) this.#release(lease_token!, last.run)
    return last.run
  }

  #lost({ id, state }: StoredRun): Fault {
    return new Fault(
      'lease_lost',
      `the lease of run ${id} is not under this token (the run is ${state}); nothing was changed: stop working on it`,
      {
        data: { state },
      },
    )
  }

  /** A run is under this token no more; under another it may be. */
  #release(lease_token: string, run: StoredRun): void {
    this.#leases.release(run.id, lease_token)
    this.#free(run)
  }

  /** No worker holds the run any more: it may go to another, and its bot has room. */
  #free(run: StoredRun): void {
    const { now, dispatcher } = this.#options
    if (run.state === 'pending' && run.not_before > now()) dispatcher.dueAt(run.not_before)
    dispatcher.wake([run.bot_id])
  }

  /** A bot has taken a run, and will finish it with its callback. */
  hold = (lease: WorkerLease): void => this.#leases.hold(lease)

  drop({ run_id, lease_token, bot_id }: WorkerLease): void {
    this.#leases.release(run_id, lease_token)
    this.#options.dispatcher.wake([bot_id])
  }

  /** The router took a run from its worker: its time was over. */
  letGo(run: StoredRun, lease_token: string): void {
    this.#release(lease_token, run)
  }

  async start_run(run_id: string, lease_token: string): Promise<StoredRun> {
    try {
      return await this.#settle([this.#startMove(run_id, lease_token)])
    } catch (error) {
      // Said again by who holds it and did not hear the answer.
      const run =
        error instanceof Fault && error.fault === 'lease_lost' ? await this.#options.store.run(run_id) : null
      if (run?.lease_token !== lease_token) throw error
      return run
    }
  }

  /** Keeps a run for another lease; note: a row of its history. Throws Fault not_found, lease_lost, and invalid_params for usage that shrinks. */
  async extend(
    run_id: string,
    lease_token: string,
    { note, progress, paused, usage }: Extension = {},
  ): Promise<LeaseState> {
    const { store, now, bots } = this.#options
    const run = await store.run(run_id)
    if (run === null) throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
    const at = now()
    const lease_until = at + leaseMs(bots.get(run.bot_id)?.endpoint)
    this.#options.availabilities.heard(run.bot_id)
    if (paused !== undefined) await this.#acknowledge(run, lease_token, paused)
    const names: MoveName[] =
      note === undefined ? ['extend_running', 'extend', 'extend_paused'] : ['progress']
    for (const name of names) {
      const [outcome] = await store.move([
        {
          run_id,
          lease_token,
          at,
          ...move(name),
          lease_until,
          touch: note === undefined ? 'silent' : 'noted',
          ...(note === undefined ? {} : { reason: note, progress }),
          ...(usage === undefined ? {} : { usage }),
        },
      ])
      if (outcome?.kind === 'usage_shrank') throw usageShrank(outcome.reported)
      if (outcome?.kind !== 'moved') continue
      this.#leases.hold({ run_id, bot_id: run.bot_id, lease_token, lease_until })
      return {
        lease_until,
        cancel_requested: outcome.run.cancel_requested,
        pause_requested: outcome.run.pause_requested,
      }
    }
    if (note !== undefined && run.state === 'assigned' && run.lease_token === lease_token)
      throw new Fault('invalid_state', `run ${run_id} has not begun; say so with run.start first`, {
        data: { state: run.state },
      })
    throw this.#lost(run)
  }

  /** A worker says that it has paused, or goes on. Saying again what is so changes nothing. */
  async #acknowledge({ id, state }: StoredRun, lease_token: string, paused: boolean): Promise<void> {
    const name =
      paused && state === 'running' ? 'pause' : !paused && state === 'paused' ? 'resume' : undefined
    if (name === undefined) return
    await this.#options.store.move([
      { run_id: id, lease_token, at: this.#options.now(), ...move(name), pause_requested: paused },
    ])
  }

  /** Throws Fault not_found, lease_lost and too_large. The same completion again answers the same. */
  async complete(
    run_id: string,
    lease_token: string,
    result: unknown,
    usage?: UsageReport,
  ): Promise<StoredRun> {
    const { now } = this.#options
    const text = result === undefined ? null : JSON.stringify(result)
    if (text !== null && Buffer.byteLength(text) > maxResultBytes)
      throw new Fault(
        'too_large',
        `a result has at most ${maxResultBytes} bytes as JSON; found ${Buffer.byteLength(text)}`,
      )
    const at = now()
    const attempt = {
      started_at: 0,
      ended_at: at,
      outcome: 'success' as const,
      status: tokenMark(lease_token),
      error: null,
      output: null,
    }
    const used = usage === undefined ? {} : { usage }
    try {
      return await this.#settle([
        this.#startMove(run_id, lease_token),
        { run_id, lease_token, at, ...move('complete'), attempt, result: text, error: null, ...used },
      ])
    } catch (error) {
      const done =
        error instanceof Fault && error.fault === 'lease_lost'
          ? await this.#completedBefore(run_id, lease_token)
          : undefined
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
  async fail(run_id: string, lease_token: string, said: SaidFailure): Promise<StoredRun> {
    const { store, attempt } = this.#options
    const run = await store.run(run_id)
    if (run === null) throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
    const trigger = await readableTrigger(run, attempt)
    // Under its own token: where it has lost the run, the store refuses this, and counts what it used.
    const counted = { ...run, lease_token, attempt: run.attempt + (run.state === 'assigned' ? 1 : 0) }
    const start = run.state === 'assigned' ? [this.#startMove(run_id, lease_token)] : []
    return this.#settle([...start, failedByWorker(counted, trigger, said, attempt)])
  }

  /** Throws Fault not_found and lease_lost. */
  yield(
    run_id: string,
    lease_token: string,
    after_ms: number,
    reason: string | undefined,
  ): Promise<StoredRun> {
    const at = this.#options.now()
    const base = {
      run_id,
      lease_token,
      at,
      ...move('put_back'),
      not_before: at + after_ms,
      reason: reason ?? 'given back by its worker',
    }
    return this.#settle(
      [
        { ...base, from: ['assigned'] },
        { ...base, from: ['running', 'paused'], uncount_attempt: true },
      ],
      'any',
    )
  }
}
