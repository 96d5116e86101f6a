// Retention as a routine: slice after slice, with room for everyone between slices. What it removes leaves free pages in the
// database; those that are more than the next events need go back to the disk, all of them while the disk is nearly full.
import { Fault } from '../errors.ts'
import type { RetentionLimits, Store } from './store.ts'

const everyMs = 60_000
/** While the disk is nearly full. */
const hurriedEveryMs = 5000
/** Rows of a slice, with their runs: 3 ms of processor in the median, 13 at the most. */
const rows = 64
/** Pages of a slice, 2 ms of processor and 1.1 MB of write-ahead log; on a disk that is nearly full fewer, because what is given back is written there first. */
const pages = 256
const hurriedPages = 64
/** Free pages that may stay, as a share of those that hold data: new events use them again. */
const keptShare = 1 / 16

export interface RetentionOptions {
  store: Store
  limits: Omit<RetentionLimits, 'now' | 'slice'>
  /** whether the disk is nearly full */
  isLow: () => boolean
  now: () => number
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

export class Retention {
  readonly #options: RetentionOptions
  #timer: NodeJS.Timeout | undefined
  #sweeping = false
  #sweptAt = -Infinity

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#begin(), everyMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** The disk is nearly full: does at once what would be done within a minute. */
  hurry(): void {
    if (this.#timer !== undefined && Math.abs(this.#options.now() - this.#sweptAt) >= hurriedEveryMs)
      this.#begin()
  }

  #begin(): void {
    void this.#sweep().catch(this.#options.logBug)
  }

  async #sweep(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    const { store, limits, isLow, now, log } = this.#options
    let events = 0
    let given = 0
    try {
      await this.#slices(rows, async slice => {
        const taken = await store.retain({ ...limits, now: now(), slice })
        events += taken.events
        return taken.more
      })
      await this.#slices(isLow() ? hurriedPages : pages, async slice => {
        const low = isLow()
        const { pages: gone, more } = await store.giveBack({
          pages: slice,
          keep_share: low ? 0 : keptShare,
          checkpoint: low,
        })
        given += gone
        return more
      })
    } finally {
      this.#sweeping = false
      this.#sweptAt = now()
    }
    if (events > 0 || given > 0) log('retention.swept', { events, pages_given_back: given })
  }

  /** Until there is no more. A slice that does not fit on the disk is tried again as a smaller one. */
  async #slices(most: number, work: (slice: number) => Promise<boolean>): Promise<void> {
    let slice = most
    for (let more = true; more && this.#timer !== undefined;) {
      try {
        more = await work(slice)
      } catch (error) {
        if (!(error instanceof Fault) || error.fault !== 'storage_full' || slice === 1) throw error
        slice = Math.ceil(slice / 4)
      }
    }
  }
}
