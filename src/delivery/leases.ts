// The leases of workers: which worker holds which run until when, and taking back runs whose lease expired.
import type { RunMove, Store, StoredRun, WorkerLease } from '../store/store.ts'
import { move } from './run-state.ts'

/** How long after its end a lease is taken back: a heartbeat on its way may still come. */
const graceMs = 500
const longestTimerMs = 2 ** 31 - 1
const storePauseMs = 1000
/** Leases that one batch takes back. */
const mostTakenBack = 500

export interface LeasesOptions {
  store: Store
  now: () => number
  /** a run was taken back */
  onExpired: (run: StoredRun) => void
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

export class Leases {
  readonly #options: LeasesOptions
  readonly #leases = new Map<string, WorkerLease>()
  #running = false
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity

  constructor(options: LeasesOptions) {
    this.#options = options
  }

  start(leases: readonly WorkerLease[]): void {
    this.#running = true
    for (const lease of leases) this.hold(lease)
  }

  /** Takes nothing back any more; leases go on. */
  stop(): void {
    this.#running = false
    clearTimeout(this.#timer)
  }

  activeOf(bot_id: string): number {
    let count = 0
    for (const lease of this.#leases.values()) if (lease.bot_id === bot_id) count++
    return count
  }

  hold(lease: WorkerLease): void {
    this.#leases.set(lease.run_id, lease)
    this.#expireAt(lease.lease_until + graceMs)
  }

  /** A run is under this token no more; under another it may be. */
  release(run_id: string, lease_token: string): void {
    if (this.#leases.get(run_id)?.lease_token === lease_token) this.#leases.delete(run_id)
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
      const over = [...this.#leases.values()]
        .filter(lease => lease.lease_until + graceMs <= at)
        .slice(0, mostTakenBack)
      if (over.length > 0) await this.#takeBack(over, at)
      // A refused run is looked at a second time: a heartbeat may be on its way into the map.
      if (over.length > 0) next = now() + graceMs
    } catch (error) {
      logBug(error)
      next = now() + storePauseMs
    }
    this.#timerAt = Infinity
    for (const { lease_until } of this.#leases.values())
      next = Math.min(next, Math.max(lease_until + graceMs, now() + graceMs / 5))
    if (next !== Infinity) this.#expireAt(next)
  }

  async #takeBack(over: readonly WorkerLease[], at: number): Promise<void> {
    const reason = 'its worker was not heard of for a whole lease'
    const attempt = {
      started_at: 0,
      ended_at: at,
      outcome: 'unknown' as const,
      status: null,
      error: reason,
      output: null,
    }
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
        this.release(run_id, lease_token)
        this.#options.onExpired(moved.run)
        this.#options.log('lease.expired', { run_id, bot_id })
      } else if (
        running.kind === 'not_found' ||
        (running.kind === 'refused' && running.run.lease_token !== lease_token)
      ) {
        this.release(run_id, lease_token)
      }
    }
  }
}
