// Earliest due time written since the last take(); reported to the dispatcher after each commit.
export class Soon {
  #at: number | null = null

  /** null: nothing. */
  add(at: number | null): void {
    if (at !== null && (this.#at === null || at < this.#at)) this.#at = at
  }

  take(): number | null {
    const at = this.#at
    this.#at = null
    return at
  }
}
