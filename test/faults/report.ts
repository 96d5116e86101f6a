// How much is tried, and a line for each promise that was.

/** So many cases: the quick number, the full one with SIGNALBOX_FULL=1, or what the variable says. */
export function size(variable: string, quick: number, full: number): number {
  return Number(process.env[variable] ?? (process.env.SIGNALBOX_FULL === '1' ? full : quick))
}

/** Prints what was tried for a promise: cases, failures, seconds since begun (of performance.now). */
export function report(promise: string, what: string, cases: number, failures: number, begun: number): void {
  console.log(
    `${promise.padEnd(8)} ${cases} cases, ${failures} failures, ${((performance.now() - begun) / 1000).toFixed(1)} s: ${what}`,
  )
}
