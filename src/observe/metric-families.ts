// Families of metrics, and their text in the Prometheus exposition format 0.0.4. Written by hand: a counter is a number in a map, and
// costs some 60 ns; the libraries take four times that and bring names that promtool refuses.

/** Sets of label values that one family has; those beyond it are counted as "other". */
const mostSeries = 2000
const other = 'other'

type Labels = Readonly<Record<string, string>>

/** One line of a family behind its name. */
interface Sample {
  suffix: string
  labels: Labels
  value: number
}

export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  samples(): Iterable<Sample>
}

function escaped(text: string, also: RegExp): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replace(also, '\\"')
}

function valueText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  return String(value)
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value, /"/g)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

/** Renders families in their order. */
export function metricsText(families: Iterable<Family>): string {
  const lines: string[] = []
  for (const family of families) {
    const { name, help, type } = family
    lines.push(`# HELP ${name} ${escaped(help, /(?!)/)}`, `# TYPE ${name} ${type}`)
    for (const { suffix, labels, value } of family.samples()) lines.push(`${name}${suffix}${labelText(labels)} ${valueText(value)}`)
  }
  return `${lines.join('\n')}\n`
}

/** Values by their label values, of which there are never too many. */
class Series<T> {
  readonly #names: readonly string[]
  readonly #make: () => T
  readonly #values = new Map<string, { labels: Labels; value: T }>()

  constructor(names: readonly string[], make: () => T) {
    this.#names = names
    this.#make = make
    // Without labels there is one series, from the beginning on.
    if (names.length === 0) this.of([])
  }

  of(values: readonly string[]): T {
    const key = values.join('\0')
    const known = this.#values.get(key)
    if (known !== undefined) return known.value
    if (this.#values.size >= mostSeries && values.some(value => value !== other)) return this.of(this.#names.map(() => other))
    const value = this.#make()
    this.#values.set(key, { labels: Object.fromEntries(this.#names.map((name, index) => [name, values[index]!])), value })
    return value
  }

  all(): Iterable<{ labels: Labels; value: T }> {
    return this.#values.values()
  }
}

export class Counter implements Family {
  readonly type = 'counter'
  readonly name: string
  readonly help: string
  readonly #series: Series<{ count: number }>

  constructor(name: string, help: string, labels: readonly string[] = []) {
    this.name = name
    this.help = help
    this.#series = new Series(labels, () => ({ count: 0 }))
  }

  add(labels: readonly string[] = [], amount = 1): void {
    this.#series.of(labels).count += amount
  }

  *samples(): Iterable<Sample> {
    for (const { labels, value } of this.#series.all()) yield { suffix: '', labels, value: value.count }
  }
}

interface Distribution {
  /** by bucket, the last one without an upper bound; not cumulative */
  counts: number[]
  sum: number
}

export class Histogram implements Family {
  readonly type = 'histogram'
  readonly name: string
  readonly help: string
  readonly #bounds: readonly number[]
  readonly #series: Series<Distribution>

  /** bounds: upper ones, ascending */
  constructor(name: string, help: string, bounds: readonly number[], labels: readonly string[] = []) {
    this.name = name
    this.help = help
    this.#bounds = bounds
    this.#series = new Series(labels, () => ({ counts: Array.from({ length: bounds.length + 1 }, () => 0), sum: 0 }))
  }

  observe(value: number, labels: readonly string[] = []): void {
    const distribution = this.#series.of(labels)
    const at = this.#bounds.findIndex(bound => value <= bound)
    distribution.counts[at < 0 ? this.#bounds.length : at]!++
    distribution.sum += value
  }

  *samples(): Iterable<Sample> {
    for (const { labels, value } of this.#series.all()) {
      let count = 0
      for (const [index, own] of value.counts.entries()) {
        count += own
        const bound = this.#bounds[index]
        yield { suffix: '_bucket', labels: { ...labels, le: bound === undefined ? '+Inf' : valueText(bound) }, value: count }
      }
      yield { suffix: '_sum', labels, value: value.sum }
      yield { suffix: '_count', labels, value: count }
    }
  }
}

type Read = () => number | undefined | Iterable<readonly [Labels, number]>

/** What is read at a scrape: one value, or a value for each set of labels. */
export class Reading implements Family {
  readonly type: 'gauge' | 'counter'
  readonly name: string
  readonly help: string
  readonly #read: Read

  /** read: undefined leaves the metric without a value */
  constructor(name: string, help: string, read: Read, type: Reading['type'] = 'gauge') {
    this.name = name
    this.help = help
    this.type = type
    this.#read = read
  }

  *samples(): Iterable<Sample> {
    const value = this.#read()
    if (typeof value === 'number') return void (yield { suffix: '', labels: {}, value })
    let count = 0
    for (const [labels, each] of value ?? []) if (count++ < mostSeries) yield { suffix: '', labels, value: each }
    return undefined
  }
}
