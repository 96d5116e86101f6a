// Calls that wait for runs to change: for output, or for an attempt to be over.

type Wake = () => void

export class RunWatch {
  readonly #waiting = new Map<string, Set<Wake>>()

  /** Runs that calls wait for. */
  get size(): number {
    return this.#waiting.size
  }

  /** After a commit: these runs moved, or have new output. */
  changed(run_ids: readonly string[]): void {
    if (this.#waiting.size === 0) return
    for (const id of run_ids) for (const wake of this.#waiting.get(id) ?? []) wake()
  }

  /**
   * Looks at a run until there is something to answer, the time is over, or the caller is gone; answers what it saw last. It
   * listens before it looks, so that a change in between is not missed.
   */
  async until<T>(
    run_id: string,
    look: () => Promise<T>,
    isEnough: (seen: T) => boolean,
    wait_ms: number,
    signal: AbortSignal,
  ): Promise<T> {
    if (wait_ms === 0) return look()
    let change = Promise.withResolvers<void>()
    let isOver = false
    const end: Wake = () => {
      isOver = true
      change.resolve()
    }
    const wake: Wake = () => change.resolve()
    const timer = setTimeout(end, wait_ms)
    signal.addEventListener('abort', end)
    this.#listen(run_id, wake)
    try {
      for (;;) {
        const seen = await look()
        if (isEnough(seen) || isOver || signal.aborted) return seen
        await change.promise
        if (!isOver) change = Promise.withResolvers()
      }
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      this.#stopListening(run_id, wake)
    }
  }

  #listen(run_id: string, wake: Wake): void {
    const wakes = this.#waiting.get(run_id) ?? new Set()
    wakes.add(wake)
    this.#waiting.set(run_id, wakes)
  }

  #stopListening(run_id: string, wake: Wake): void {
    const wakes = this.#waiting.get(run_id)
    wakes?.delete(wake)
    if (wakes?.size === 0) this.#waiting.delete(run_id)
  }
}
