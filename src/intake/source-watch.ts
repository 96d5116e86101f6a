// Sources that fall silent, and sources whose deliveries are refused one after the other: each is told once, as an event of the router, and
// so is its end. What was told is read in the log after a start. Nothing is done for an event that comes: the counts of sources are
// looked at from time to time.
//
// A source is well -> silent or refusing -> well.
import type { Source } from '../contract/types.ts'
import { routerSource, type EventLine, type Store } from '../store/store.ts'
import type { Refusal } from './webhooks/refused-deliveries.ts'

const checkMs = 10_000
/** Refused deliveries in a row, none accepted between them. */
export const mostInARow = 3
/** How long nothing must have been refused before a source that refused is told to be well. */
export const calmMs = 600_000
/** Of a source that was not looked at since a delivery was refused. */
const unknownYet = -1
/** Events of the router about one source that are looked at for what was told last. */
const mostTold = 20

type Trouble = 'silent' | 'refusing'

interface Standing {
  /** events that it had */
  events: number
  /** since when it has had none, by the clock that counts the time in which the router ran */
  quietFrom: number
  trouble: Trouble | undefined
  /** when that was told, in the time of the log */
  toldAt: number
}

interface Row {
  /** refused since the last event */
  count: number
  /** events that the source had then */
  events: number
  /** by the clock that counts the time in which the router ran */
  lastAt: number
}

export interface SourceWatchOptions {
  sources: ReadonlyMap<string, Source>
  store: Pick<Store, 'sourceStats' | 'events' | 'emitLifecycle'>
  /** the time of the log */
  now: () => number
  /** milliseconds that no setting of a clock changes */
  elapsed: () => number
  logBug: (error: unknown) => void
}

export class SourceWatch {
  readonly #options: SourceWatchOptions
  readonly #standings = new Map<string, Standing>()
  readonly #refused = new Map<string, Row>()
  /** the last event of the log at the start: until then the router ran */
  #ranUntil: number | undefined
  #timer: NodeJS.Timeout | undefined
  #working: Promise<void> = Promise.resolve()

  constructor(options: SourceWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => void this.check(), checkMs).unref()
    void this.check()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#working
  }

  /** A delivery was refused. What the router could not do, and what was sent to a source that is off or unknown, is no fault of a sender. */
  refused({ source_id, status, reason }: Refusal): void {
    if (
      source_id === null ||
      status === null ||
      status >= 500 ||
      this.#options.sources.get(source_id)?.enabled !== true
    )
      return
    const row = this.#refused.get(source_id) ?? { count: 0, events: unknownYet, lastAt: 0 }
    row.count++
    row.lastAt = this.#options.elapsed()
    this.#refused.set(source_id, row)
    if (this.#standings.get(source_id)?.trouble === 'refusing') return
    // With the first one, it is looked at how many events the source had.
    if (row.count === 1 || row.count >= mostInARow) void this.check({ source_id, reason, status })
  }

  /** Looks at all sources. just: the delivery that was refused just now */
  check(just?: Pick<Refusal, 'source_id' | 'reason' | 'status'>): Promise<void> {
    const work = this.#working.then(() => this.#check(just)).catch(this.#options.logBug)
    this.#working = work
    return work
  }

  async #check(just?: Pick<Refusal, 'source_id' | 'reason' | 'status'>): Promise<void> {
    const { sources, store } = this.#options
    const isFirst = this.#ranUntil === undefined
    this.#ranUntil ??= await this.#lastLogged()
    const isWatched = ({ id, source_type, silent_after_ms }: Source): boolean =>
      silent_after_ms !== undefined || this.#refused.has(id) || (isFirst && source_type === 'webhook')
    const watched = [...sources.values()].filter(source => source.enabled && isWatched(source))
    for (const id of this.#standings.keys())
      if (!watched.some(each => each.id === id)) this.#standings.delete(id)
    for (const id of this.#refused.keys()) if (sources.get(id)?.enabled !== true) this.#refused.delete(id)
    if (watched.length === 0) return
    const stats = new Map((await store.sourceStats()).map(row => [row.source_id, row]))
    for (const source of watched)
      await this.#look(source, stats.get(source.id), just?.source_id === source.id ? just : undefined)
  }

  async #look(
    source: Source,
    stats: { events: number; last_event_at: number } | undefined,
    just?: Pick<Refusal, 'reason' | 'status'>,
  ): Promise<void> {
    const { id, silent_after_ms } = source
    const at = this.#options.elapsed()
    const standing = this.#standings.get(id) ?? (await this.#begun(id, stats))
    this.#standings.set(id, standing)
    const events = stats?.events ?? 0
    if (events !== standing.events) {
      Object.assign(standing, { events, quietFrom: at })
      if (standing.trouble === 'silent') await this.#well(id, standing)
    }
    const row = this.#rowOf(id, events)
    if (row !== undefined && row.count >= mostInARow && standing.trouble !== 'refusing') {
      await this.#emitLifecycle(id, standing, 'refusing', {
        refused: row.count,
        ...(just === undefined ? {} : { reason: `${just.reason} (${just.status})` }),
      })
    } else if (
      standing.trouble === 'refusing' &&
      row !== undefined &&
      row.count === 0 &&
      at - row.lastAt >= calmMs
    ) {
      this.#refused.delete(id)
      await this.#well(id, standing)
    } else if (standing.trouble !== 'refusing' && row !== undefined && at - row.lastAt >= calmMs)
      this.#refused.delete(id)
    if (
      standing.trouble === undefined &&
      silent_after_ms !== undefined &&
      at - standing.quietFrom >= silent_after_ms
    )
      await this.#emitLifecycle(id, standing, 'silent', {
        silent_after_ms,
        ...(stats === undefined ? {} : { last_event_at: stats.last_event_at }),
      })
  }

  /** What was refused since the last event. */
  #rowOf(id: string, events: number): Row | undefined {
    const row = this.#refused.get(id)
    if (row === undefined || row.events === events) return row
    if (row.events !== unknownYet) row.count = 0
    row.events = events
    return row
  }

  /** How a source stands when it is looked at first. */
  async #begun(id: string, stats: { events: number; last_event_at: number } | undefined): Promise<Standing> {
    const { store, elapsed } = this.#options
    const told = (await store.events({
      selection: { source_id: routerSource, subject: id },
      order: 'desc',
      limit: mostTold,
      after: null,
      whole: false,
    })) as EventLine[]
    const last = told.find(
      ({ type }) => type === 'source.silent' || type === 'source.refusing' || type === 'source.resumed',
    )
    const trouble =
      last === undefined || last.type === 'source.resumed'
        ? undefined
        : last.type === 'source.silent'
          ? 'silent'
          : 'refusing'
    if (trouble === 'refusing' && !this.#refused.has(id))
      this.#refused.set(id, { count: 0, events: stats?.events ?? 0, lastAt: elapsed() })
    const before = stats === undefined ? 0 : Math.max(0, this.#ranUntil! - stats.last_event_at)
    return {
      events: stats?.events ?? 0,
      quietFrom: elapsed() - before,
      trouble,
      toldAt: last?.received_at ?? 0,
    }
  }

  async #lastLogged(): Promise<number> {
    const [last] = (await this.#options.store.events({
      selection: {},
      order: 'desc',
      limit: 1,
      after: null,
      whole: false,
    })) as EventLine[]
    return last?.received_at ?? 0
  }

  async #emitLifecycle(
    id: string,
    standing: Standing,
    trouble: Trouble,
    what: Record<string, unknown>,
  ): Promise<void> {
    const { store, now } = this.#options
    Object.assign(standing, { trouble, toldAt: now() })
    await store.emitLifecycle(`source.${trouble}`, id, { source_id: id, ...what }, standing.toldAt)
  }

  async #well(id: string, standing: Standing): Promise<void> {
    const { store, now } = this.#options
    const { trouble, toldAt } = standing
    standing.trouble = undefined
    await store.emitLifecycle(
      'source.resumed',
      id,
      { source_id: id, after: trouble, ms: Math.max(0, now() - toldAt) },
      now(),
    )
  }
}
