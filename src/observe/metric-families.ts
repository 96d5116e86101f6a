// Families of metrics, and their text in the Prometheus exposition format 0.0.4. Written by hand: a counter is a number in a map, and
// costs some 100 ns; the libraries take twice that and bring names that promtool refuses.

/** Sets of label values that one family has; those beyond it are counted as "other". */
const mostSeries = 2000
const other = 'other'

type Labels = Readonly<Record<string, string>>

/** One line of a family. */
interface Sample {
  /** what follows the name of the family: a suffix, and labels as they are printed */
  label: string
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
    for (const { label, value } of family.samples()) lines.push(`${name}${label} ${valueText(value)}`)
  }
  return `${lines.join('\n')}\n`
}

/** Values by their label values, of which there are never too many. */
class Series<T> {
  readonly #names: readonly string[]
  readonly #make: (labels: Labels) => T
  readonly #values = new Map<string, T>()

  constructor(names: readonly string[], make: (labels: Labels) => T) {
    this.#names = names
    this.#make = make
    // Without labels there is one series, from the beginning on.
    if (names.length === 0) this.of([])
  }

  of(values: readonly string[]): T {
    const key = values.join('\0')
    const known = this.#values.get(key)
    if (known !== undefined) return known
    if (this.#values.size >= mostSeries && values.some(value => value !== other))
      return this.of(this.#names.map(() => other))
    const value = this.#make(Object.fromEntries(this.#names.map((name, index) => [name, values[index]!])))
    this.#values.set(key, value)
    return value
  }

  all(): Iterable<T> {
    return this.#values.values()
  }
}

export class Counter implements Family {
  readonly type = 'counter'
  readonly name: string
  readonly help: string
  readonly #series: Series<Sample>

  constructor(name: string, help: string, labels: readonly string[] = []) {
    this.name = name
    this.help = help
    this.#series = new Series(labels, each => ({ label: labelText(each), value: 0 }))
  }

  add(labels: readonly string[] = [], amount = 1): void {
    this.#series.of(labels).value += amount
  }

  samples(): Iterable<Sample> {
    return this.#series.all()
  }
}

interface Distribution {
  /** what follows the name, for each bucket, the sum and the count: made once, it was most of what a scrape cost */
  labels: readonly string[]
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
    const upper = [...bounds.map(valueText), '+Inf']
    this.#series = new Series(labels, each => ({
      labels: [
        ...upper.map(le => `_bucket${labelText({ ...each, le })}`),
        `_sum${labelText(each)}`,
        `_count${labelText(each)}`,
      ],
      counts: upper.map(() => 0),
      sum: 0,
    }))
  }

  /** Makes a series before anything is observed. */
  begin(labels: readonly string[]): void {
    this.#series.of(labels)
  }

  observe(value: number, labels: readonly string[] = []): void {
    const distribution = this.#series.of(labels)
    const at = this.#bounds.findIndex(bound => value <= bound)
    distribution.counts[at < 0 ? this.#bounds.length : at]!++
    distribution.sum += value
  }

  *samples(): Iterable<Sample> {
    for (const { labels, counts, sum } of this.#series.all()) {
      let count = 0
      for (const [index, own] of counts.entries()) {
        count += own
        yield { label: labels[index]!, value: count }
      }
      yield { label: labels.at(-2)!, value: sum }
      yield { label: labels.at(-1)!, value: count }
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
    if (typeof value === 'number') return void (yield { label: '', value })
    let count = 0
    for (const [labels, each] of value ?? [])
      if (count++ < mostSeries) yield { label: labelText(labels), value: each }
    return undefined
  }
}
