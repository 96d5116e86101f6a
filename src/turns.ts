// Turns of the event loop, shared by all long work: code that has worked for a slice lets the loop turn
// before it goes on, so that sockets and timers are served in between.
//
// The time of a turn is one for all. Fifty calls of a batch that each counted their own 10 ms would hold the loop for
// half a second: setImmediate runs everything that waits for it in one turn. Here one of those that wait goes on a turn.
//
// no turn measured -> rest() -> measured -> (the loop turns) -> the next that waits goes on, or no turn measured

/** How long the event loop works before it turns. Half of the 50 ms that are promised is left for the step that ends a slice. */
export const sliceMs = 10

/** When the work of this turn began; undefined: nothing asked in this turn. */
let begun: number | undefined
const waiting: (() => void)[] = []

function turned(): void {
  const goOn = waiting.shift()
  begun = undefined
  if (goOn === undefined) return
  begin()
  goOn()
}

function begin(): void {
  begun = performance.now()
  setImmediate(turned)
}

/**
 * Between two steps of long work: undefined while there is time left in this turn, otherwise a promise of a later one.
 * Await it only where there is one: an await that is not needed puts others in between.
 */
export function rest(): Promise<void> | undefined {
  if (begun === undefined) {
    begin()
    return undefined
  }
  if (performance.now() - begun < sliceMs) return undefined
  return new Promise(resolve => waiting.push(resolve))
}

/** So many at once; the others wait in the order in which they came. */
export class Slots {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  /** Answers how to give it back. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>(resolve => this.#waiting.push(resolve))
    return () => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}

/** Maps a list in slices. */
export async function mapInTurns<T, R>(list: readonly T[], map: (item: T, index: number) => R): Promise<R[]> {
  const mapped: R[] = []
  for (const [index, item] of list.entries()) {
    const pause = rest()
    if (pause !== undefined) await pause
    mapped.push(map(item, index))
  }
  return mapped
}
