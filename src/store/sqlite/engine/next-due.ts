// The nearest time at which something is to be done of what was written since this was asked last: whoever commits tells it.
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
