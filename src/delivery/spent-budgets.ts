// Bots that are not chosen for a need because their budgets are spent, and until when.

export class SpentBudgets {
  readonly #until = new Map<string, number>()

  clear(): void {
    this.#until.clear()
  }

  set(bot_id: string, until: number): void {
    this.#until.set(bot_id, until)
  }

  /** Until when no run of a need goes to a bot, as far as is known; undefined: its budget is not spent. */
  until(bot_id: string): number | undefined {
    return this.#until.get(bot_id)
  }

  /** Bots whose budgets have room again, which are not remembered any more. */
  ended(now: number): string[] {
    const ended = [...this.#until].filter(([, until]) => until <= now).map(([bot_id]) => bot_id)
    for (const bot_id of ended) this.#until.delete(bot_id)
    return ended
  }
}
