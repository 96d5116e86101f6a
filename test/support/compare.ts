// Compares an answer with what was expected of it. "*" stands for anything; times (1790000000000) for any whole number;
// ids are made up in the expectation, and each stands for one real id throughout.
// Tokens of leases, tokens with their ids (EXAMPLE1), ports of this machine and codes of links are bound as ids are.
const id =
  /localhost:\d+|(?<=#login=)[\w-]{22}|sbx_[a-z]{3}_[0-9A-Za-z]{46}|EXAMPLE\d|[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|w:[0-9a-f]{32}/g
const anyTime = 1_790_000_000_000

export class Bindings {
  readonly #real = new Map<string, string>()

  constructor(pairs: Record<string, string> = {}) {
    for (const [expected, real] of Object.entries(pairs)) this.#real.set(expected, real)
  }

  /** An expected text or value with the real ids in it; ids that are not known yet stay. */
  filled<T>(value: T): T {
    return JSON.parse(JSON.stringify(value).replaceAll(id, each => this.#real.get(each) ?? each)) as T
  }

  /** Differences in words; empty when they agree. Ids that are new are bound. */
  differences(expected: unknown, found: unknown, path = ''): string[] {
    const at = path === '' ? 'the answer' : path
    if (expected === '*' || (expected === anyTime && Number.isInteger(found))) return []
    if (typeof expected === 'string' && typeof found === 'string') {
      const [wanted, real] = [
        expected.match(id) ?? [],
        found.match(id) ?? (/^[0-9A-Za-z]{8}$/.test(found) ? [found] : []),
      ]
      for (const [index, each] of wanted.entries())
        if (!this.#real.has(each) && real[index] !== undefined) this.#real.set(each, real[index])
      return this.filled(expected) === found
        ? []
        : [`${at}: expected ${JSON.stringify(this.filled(expected))}, found ${JSON.stringify(found)}`]
    }
    if (
      typeof expected !== 'object' ||
      expected === null ||
      typeof found !== 'object' ||
      found === null ||
      Array.isArray(expected) !== Array.isArray(found)
    ) {
      return Object.is(expected, found)
        ? []
        : [`${at}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`]
    }
    if ('*' in expected) return []
    const keys = new Set([...Object.keys(expected), ...Object.keys(found)])
    return [...keys].flatMap(key => {
      const inner = path === '' ? key : `${path}.${key}`
      if (!(key in found))
        return [
          `${inner}: expected ${JSON.stringify((expected as Record<string, unknown>)[key])}, found nothing`,
        ]
      if (!(key in expected))
        return [
          `${inner}: expected nothing, found ${JSON.stringify((found as Record<string, unknown>)[key])}`,
        ]
      return this.differences(
        (expected as Record<string, unknown>)[key],
        (found as Record<string, unknown>)[key],
        inner,
      )
    })
  }
}
