// What an input may cost the event loop, beside what the engine’s own reading costs here and now.

const mostCpuMs = 50
/** JSON.parse of it took 30 ms of processor time where the 50 ms were set. */
export const reference = `{${Array.from({ length: 60_000 }, (_, n) => `"k${n}":${n}`).join(',')}}`

/** Processor time of the engine's own reading of a text, the least of some; of keys that it has not met. */
function parseMs(text: string): number {
  const times = Array.from({ length: 5 }, (_, turn) => {
    const fresh = text.replaceAll('"k', `"k${turn}_`)
    const begun = process.threadCpuUsage()
    try {
      JSON.parse(fresh)
    } catch {
      // Its time counts all the same.
    }
    const { user, system } = process.threadCpuUsage(begun)
    return (user + system) / 1000
  })
  return Math.min(...times)
}

/**
 * Whether an input cost more processor time than it may. Where 50 ms were not enough the engine's own readings are measured beside
 * it, here and now, since a busy machine stretches processor time too: as many times more is given, four at most, and for the
 * text itself three times its reading.
 */
export function isTooDear(cpuMs: number, text = ''): boolean {
  if (cpuMs <= mostCpuMs) return false
  return cpuMs > Math.max(mostCpuMs * Math.min(4, parseMs(reference) / 30), 3 * parseMs(text))
}
