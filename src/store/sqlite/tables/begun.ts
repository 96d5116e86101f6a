// When runs of a scope (trigger:ID, bot:ID, router) began, for budgets of runs. One list for each scope, whatever its budgets are: so
// a budget that is changed, written twice, or of another version of its trigger counts the same runs.
//
// The list is stored in the table of rings (rate-limits.ts prunes it) under a name of its own: slots go up with each run, and the oldest go
// once there are more than any budget can ask for. What begins nth last is one step away.
import type { BudgetGate } from '../../flow.ts'
import type { Db } from '../db.ts'
import { ringName } from './rate-limits.ts'

/** The largest limit of a budget of runs. */
const mostKept = 10_000
/** The longest period of a budget. */
const keptMs = 31 * 24 * 3_600_000

function keyOf(scope: string): string {
  return `begun ${scope}`
}

/** Where the runs of a trigger's budget were counted before there were several: the name holds the limit. */
function formerName({ scope, limit, period_ms }: BudgetGate): string {
  return ringName({ key: `budget:${scope.replace(/^trigger:/, '')}`, limit, period_ms })
}

/** Counts runs that began within a budget's period, for those who only read. */
export function begunWithin(db: Db): (each: BudgetGate, now: number) => number {
  const count = db
    .prepare<[string, string, string, number], number>(
      `SELECT count(*) FROM rate_ring WHERE key = CASE WHEN EXISTS (SELECT 1 FROM rate_key WHERE key = ?) THEN ? ELSE ? END AND at > ?`,
    )
    .pluck()
  return (each, now) =>
    count.get(keyOf(each.scope), keyOf(each.scope), formerName(each), now - each.period_ms)!
}

export class BegunRuns {
  readonly #last
  readonly #at
  readonly #write
  readonly #keep
  readonly #removeSlot
  readonly #trim
  readonly #former
  readonly #forget

  constructor(db: Db) {
    this.#last = db
      .prepare<[string], number>('SELECT slot FROM rate_ring WHERE key = ? ORDER BY slot DESC LIMIT 1')
      .pluck()
    this.#at = db.prepare<[string, number]>('SELECT at FROM rate_ring WHERE key = ? AND slot = ?').pluck()
    this.#write = db.prepare('INSERT OR REPLACE INTO rate_ring (key, slot, at) VALUES (?, ?, ?)')
    this.#keep = db.prepare('INSERT OR REPLACE INTO rate_key (key, next, keep_until) VALUES (?, ?, ?)')
    this.#removeSlot = db.prepare('DELETE FROM rate_ring WHERE key = ? AND slot = ?')
    this.#trim = db.prepare('DELETE FROM rate_ring WHERE key = ? AND slot <= ?')
    this.#former = db.prepare<[string]>('SELECT at FROM rate_ring WHERE key = ? ORDER BY at').pluck()
    this.#forget = ['rate_ring', 'rate_key'].map(table => db.prepare(`DELETE FROM ${table} WHERE key = ?`))
  }

  /** The slot of the run that began last; undefined: none did. */
  #newest(each: BudgetGate): number | undefined {
    return this.#last.get(keyOf(each.scope)) ?? this.#takenOver(each)
  }

  #takenOver(each: BudgetGate): number | undefined {
    if (!each.scope.startsWith('trigger:')) return undefined
    const name = formerName(each)
    const times = this.#former
      .all(name)
      .filter((at): at is number => Number.isSafeInteger(at) && (at as number) > 0)
    if (times.length === 0) return undefined
    const key = keyOf(each.scope)
    for (const [slot, at] of times.entries()) this.#write.run(key, slot, at)
    this.#keep.run(key, times.length, times.at(-1)! + keptMs)
    for (const forget of this.#forget) forget.run(name)
    return times.length - 1
  }

  /** When the run began that is so many back; undefined: none, or what is damaged. */
  #nthLast(each: BudgetGate, nth: number): number | undefined {
    const newest = this.#newest(each)
    if (newest === undefined) return undefined
    const at = this.#at.get(keyOf(each.scope), newest - nth + 1)
    return Number.isSafeInteger(at) ? (at as number) : undefined
  }

  /** When a budget has room for one more; 0: at any time. A run of the future, from before a clock stepped back, counts as one of now. */
  opensAt(each: BudgetGate, now: number): number {
    const counted = this.#nthLast(each, each.limit)
    return counted === undefined ? 0 : Math.min(counted, now) + each.period_ms
  }

  /** Whether at least so many began in a budget's period up to now. */
  hasBegun(each: BudgetGate, runs: number, now: number): boolean {
    const at = this.#nthLast(each, runs)
    return at !== undefined && at > now - each.period_ms
  }

  /** A run of a budget's scope begins. */
  take(each: BudgetGate, at: number): void {
    const key = keyOf(each.scope)
    const slot = (this.#newest(each) ?? -1) + 1
    this.#write.run(key, slot, at)
    this.#keep.run(key, slot + 1, at + keptMs)
    if (slot >= mostKept) this.#trim.run(key, slot - mostKept)
  }

  /** Takes back a run that began at a time and came to nothing: those after it move down by one. */
  giveBack(each: BudgetGate, began_at: number): void {
    const key = keyOf(each.scope)
    const newest = this.#newest(each)
    if (newest === undefined) return
    for (let slot = newest; ; slot--) {
      const at = this.#at.get(key, slot)
      if (at === undefined || (at as number) < began_at) return
      if (at !== began_at) continue
      for (let moved = slot; moved < newest; moved++)
        this.#write.run(key, moved, this.#at.get(key, moved + 1))
      this.#removeSlot.run(key, newest)
      return
    }
  }
}
