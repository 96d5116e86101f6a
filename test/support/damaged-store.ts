// A store whose rows can be damaged under it: it notes what damage it meets, also at a start.
import { expect } from 'vitest'
import type { CompleteBudget } from '../../src/contract/budgets.ts'
import type { Db } from '../../src/store/sqlite/db.ts'
import { Work } from '../../src/store/sqlite/engine/operations.ts'
import type { RetentionLimits, StartAnswer, UsageReport } from '../../src/store/store.ts'
import { Driver } from '../conformance/gates.ts'
import { freshDatabase, LocalStore } from './local-store.ts'

export const t0 = 1_790_000_000_000

export class DamagedStore extends Driver {
  readonly db: Db
  readonly damage: string[] = []

  constructor(db = freshDatabase()) {
    super()
    this.db = db
    const store = new LocalStore({
      db: this.db,
      lifecycle: 'none',
      guard: 'lease',
      later: (_way, work) => work(),
      committed: () => undefined,
    })
    store.onDamage = found => this.damage.push(...found)
    this.store = store
  }

  /** Changes rows without regard to their CHECKs. */
  hurt(sql: string): void {
    this.db.pragma('ignore_check_constraints = ON')
    expect(this.db.prepare(sql).run().changes).toBeGreaterThan(0)
    this.db.pragma('ignore_check_constraints = OFF')
  }

  /** Gives a column of a row a value that its type does not let in. */
  mistype(table: string, sql: string): void {
    const write = (from: string, to: string): void => {
      this.db.unsafeMode(true)
      this.db.pragma('writable_schema = ON')
      this.db
        .prepare("UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ?")
        .run(from, to, table)
      this.db.pragma('writable_schema = RESET')
    }
    write(') STRICT', ') /**/')
    if (/= NULL/.test(sql)) write(' NOT NULL', '/* */')
    this.hurt(sql)
    write('/* */', ' NOT NULL')
    write(') /**/', ') STRICT')
  }

  /** What another router's start on it answers. */
  restarted(now: number, budgets: readonly CompleteBudget[] = []): StartAnswer {
    return new Work(this.db, 'none', undefined, budgets).start(now)
  }

  /** The store of another router on it. */
  reopened(): DamagedStore {
    return new DamagedStore(this.db)
  }

  report(run_id: string, at: number, usage: UsageReport): Promise<unknown> {
    return this.move(run_id, {
      move: 'extend_running',
      from: ['running'],
      to: 'running',
      at,
      touch: 'silent',
      usage,
    })
  }

  /** Retention until it has nothing more to do; answers how many events went. */
  async swept(limits: Omit<RetentionLimits, 'slice'>): Promise<number> {
    let events = 0
    for (let slices = 0; slices < 100; slices++) {
      const taken = await this.store.retain({ ...limits, slice: 100 })
      events += taken.events
      if (!taken.more) return events
    }
    throw new Error('retention does not come to an end')
  }
}
