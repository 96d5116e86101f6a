// Damage of the database that was met since the start: rpc.health is degraded from then on, and the log has each.

/** Messages that are kept: a database that is damaged further is named by its oldest. */
const mostKept = 1000

export class DamageWatch {
  readonly #found: string[] = []
  readonly #log: (event: string, fields: Record<string, unknown>) => void

  constructor(log: (event: string, fields: Record<string, unknown>) => void) {
    this.#log = log
  }

  get found(): readonly string[] {
    return this.#found
  }

  add(found: readonly string[]): void {
    for (const message of found) {
      if (this.#found.length >= mostKept || this.#found.includes(message)) continue
      this.#found.push(message)
      this.#log('store.damaged', { message })
    }
  }
}
