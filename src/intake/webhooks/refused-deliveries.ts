// Refused deliveries: what an operator asks when a sender says "401" and the log of events has nothing. Anybody who reaches the intake
// can make them, so they are bounded in every way: they are kept in memory, identical ones are counted together, at most 1,000 are
// kept and 100 of one source, and they are written in batches, at most one a second and none while the disk is full.
//
// Deliveries with the same source or path, reason, status and remote address count as one row while each comes within 10 minutes
// of the one before, whatever comes between them: two senders in turn make two rows, not a row for each delivery. All deliveries
// that name no source share one limit: otherwise made-up paths would push out everything else. Over 1,000 rows the oldest of the
// source with the most rows goes: a flood costs its own source.
//
// States: idle -> due (a batch is written within a second) -> writing -> idle or due; stopped.
import { Fault } from '../../errors.ts'
import type { RefusedTotals } from '../../contract/types.ts'
import { mostRefused, type RefusedRow, type RefusedSelection, type Store } from '../../store/store.ts'

export type Refusal = Omit<RefusedRow, 'seq' | 'first_at' | 'last_at' | 'count'>

const mostOfSource = 100
const writeEveryMs = 1000
const togetherMs = 600_000

export interface RefusedOptions {
  store: Pick<Store, 'noteRefused'>
  /** as they were stored, oldest first */
  stored: readonly RefusedRow[]
  retention_ms: number
  /** whether nothing may be written, because the disk is nearly full */
  isFull: () => boolean
  now: () => number
  logBug: (error: unknown) => void
}

function kindOf({ source_id, path, reason, status, address }: Refusal): string {
  return JSON.stringify([source_id, path, reason, status, address])
}

/** Newest first. */
function newer(a: Pick<RefusedRow, 'seq' | 'last_at'>, b: Pick<RefusedRow, 'seq' | 'last_at'>): number {
  return b.last_at - a.last_at || b.seq - a.seq
}

export class RefusedDeliveries {
  readonly #options: RefusedOptions
  /** rows by source, null for deliveries that name none; in each the row that was counted up last is last */
  readonly #rows = new Map<string | null, Map<number, RefusedRow>>()
  /** the row that a delivery of a kind is counted in */
  readonly #current = new Map<string, RefusedRow>()
  readonly #changed = new Set<RefusedRow>()
  readonly #removed = new Set<number>()
  #size = 0
  #lastSeq: number
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #stopped = false
  /** Called with each one. */
  onRefused: (refusal: Refusal) => void = () => undefined

  constructor(options: RefusedOptions) {
    this.#options = options
    this.#lastSeq = options.stored.reduce((most, row) => Math.max(most, row.seq), 0)
    for (const row of options.stored) this.#add({ ...row })
  }

  note(refusal: Refusal): void {
    const at = this.#options.now()
    const kind = kindOf(refusal)
    const known = this.#current.get(kind)
    if (known === undefined || at - known.last_at > togetherMs)
      this.#add({ ...refusal, seq: ++this.#lastSeq, first_at: at, last_at: at, count: 1 }, true)
    else {
      known.count++
      known.bytes = refusal.bytes
      // The clock may have been set back.
      known.last_at = Math.max(known.last_at, at)
      const own = this.#rows.get(known.source_id)!
      own.delete(known.seq)
      own.set(known.seq, known)
      this.#changed.add(known)
    }
    this.#due()
    this.onRefused(refusal)
  }

  /** A page, newest first, and the row that the next page begins after. */
  list({ source_id, since, limit, after }: RefusedSelection): {
    page: RefusedRow[]
    next: RefusedRow | null
  } {
    const rows = this.#kept(source_id)
      .filter(row => since === undefined || row.last_at >= since)
      .toSorted(newer)
      .filter(row => after === null || newer(row, after) > 0)
    const page = rows.slice(0, limit)
    return { page, next: rows.length > page.length ? page.at(-1)! : null }
  }

  /** Totals by source, null for deliveries that name none: of rows whose last delivery was refused since then. */
  totals(since = 0): Map<string | null, RefusedTotals> {
    const totals = new Map<string | null, RefusedTotals>()
    for (const { source_id, count, first_at, last_at, reason } of this.#kept()) {
      if (last_at < since) continue
      const known = totals.get(source_id)
      if (known === undefined) totals.set(source_id, { count, first_at, last_at, last_reason: reason })
      else {
        known.count += count
        known.first_at = Math.min(known.first_at, first_at)
        if (last_at >= known.last_at) Object.assign(known, { last_at, last_reason: reason })
      }
    }
    return totals
  }

  /** Writes what is in memory. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#writing
    await this.#write()
  }

  #kept(source_id?: string): RefusedRow[] {
    const oldest = this.#options.now() - this.#options.retention_ms
    const groups =
      source_id === undefined
        ? [...this.#rows.values()]
        : [this.#rows.get(source_id) ?? new Map<number, RefusedRow>()]
    return groups.flatMap(own => [...own.values()]).filter(row => row.last_at >= oldest)
  }

  #add(row: RefusedRow, isNew = false): void {
    const own = this.#rows.get(row.source_id) ?? new Map<number, RefusedRow>()
    this.#rows.set(row.source_id, own)
    if (own.size >= mostOfSource) this.#remove(own.values().next().value!)
    else if (this.#size >= mostRefused) this.#remove(this.#mostRows().values().next().value!)
    // Its own last row may have been the one that was removed.
    this.#rows.set(row.source_id, own)
    own.set(row.seq, row)
    this.#size++
    this.#current.set(kindOf(row), row)
    if (isNew) this.#changed.add(row)
  }

  #mostRows(): Map<number, RefusedRow> {
    return [...this.#rows.values()].reduce((most, own) => (own.size > most.size ? own : most))
  }

  #remove(row: RefusedRow): void {
    const own = this.#rows.get(row.source_id)!
    own.delete(row.seq)
    if (own.size === 0) this.#rows.delete(row.source_id)
    this.#size--
    if (this.#current.get(kindOf(row)) === row) this.#current.delete(kindOf(row))
    this.#changed.delete(row)
    this.#removed.add(row.seq)
  }

  #due(): void {
    if (this.#timer !== undefined || this.#writing !== undefined || this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined
        if (this.#changed.size > 0 || this.#removed.size > 0) this.#due()
      })
    }, writeEveryMs).unref()
  }

  /** One batch. What the storage refuses is written with a later one. */
  async #write(): Promise<void> {
    if (this.#options.isFull() || (this.#changed.size === 0 && this.#removed.size === 0)) return
    const [changed, removed] = [[...this.#changed], [...this.#removed]]
    this.#changed.clear()
    this.#removed.clear()
    try {
      await this.#options.store.noteRefused({ put: changed.map(row => ({ ...row })), removed })
    } catch (error) {
      for (const row of changed) if (!this.#removed.has(row.seq)) this.#changed.add(row)
      for (const seq of removed) this.#removed.add(seq)
      if (!(error instanceof Fault)) this.#options.logBug(error)
    }
  }
}
