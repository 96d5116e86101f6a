// Damage that was met: SQLite has no checksums of pages, so a flipped bit shows only when a value cannot be what was
// written. Each thread notes what it meets; the store collects it for rpc.health and the log of the router.

/** Messages that one thread remembers, so that a row that is read again and again is reported once. */
const mostRemembered = 1000

/** What the damage of a row is called: its table, its row, its column, and what is wrong with the value. */
export function damageText(table: string, row: string | number, { column, why }: DamagedColumn): string {
  return `${table}.${column} of row ${row} is damaged: ${why}`
}

/** A column whose value cannot be what was written. */
export interface DamagedColumn {
  column: string
  why: string
}

/** Whether SQLite refused a row: for a CHECK, the type of a column, NULL, or a key that is there already. */
export function isConstraint(error: unknown): boolean {
  return (error as { code?: string }).code?.startsWith('SQLITE_CONSTRAINT') === true
}

export class DamageLog {
  readonly #known = new Set<string>()
  #fresh: string[] = []

  add(message: string): void {
    if (this.#known.has(message) || this.#known.size >= mostRemembered) return
    this.#known.add(message)
    this.#fresh.push(message)
  }

  addRow(table: string, row: string | number, damaged: readonly DamagedColumn[]): void {
    for (const each of damaged) this.add(damageText(table, row, each))
  }

  /**
   * Writes a row under a key that is its own. One that is there already has a damaged key, and is replaced: it must not keep
   * an undamaged row out.
   */
  insert(table: string, key: string | number, write: (or: 'fail' | 'replace') => void): void {
    try {
      write('fail')
    } catch (error) {
      if (!/^SQLITE_CONSTRAINT_(PRIMARYKEY|UNIQUE|ROWID)$/.test((error as { code?: string }).code ?? ''))
        throw error
      this.add(`${table}: a row with a damaged key had that of row ${key}, which was written in its place`)
      write('replace')
    }
  }

  /** Changes a row that may be damaged in other columns: STRICT refuses that then, and the row stays as it is. */
  tolerate(table: string, row: string | number, write: () => void): void {
    try {
      write()
    } catch (error) {
      if (!isConstraint(error)) throw error
      this.add(`${table}: row ${row} is damaged and could not be changed: ${(error as Error).message}`)
    }
  }

  /** What was met since this was called last. */
  take(): string[] {
    const fresh = this.#fresh
    if (fresh.length > 0) this.#fresh = []
    return fresh
  }
}
