// A strict reader of the Prometheus text format 0.0.4. It finds what promtool lets pass: the same series twice, families torn apart,
// histograms without +Inf or with buckets that fall.

export interface Metric {
  name: string
  type: string
  samples: { name: string; labels: Record<string, string>; value: number }[]
}

function sorted(labels: Record<string, string>): [string, string][] {
  return Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1))
}

const sampleLine = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/s
const labelPair = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/gy

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  let end = 0
  for (const [whole, name, value] of text.matchAll(labelPair)) {
    if (Object.hasOwn(labels, name!)) throw new Error(`the label ${name} is there twice`)
    labels[name!] = value!.replaceAll(/\\(.)/g, (_, each: string) => (each === 'n' ? '\n' : each))
    end += whole.length
  }
  if (end !== text.length) throw new Error(`labels that cannot be read: ${text}`)
  return labels
}

function numberOf(text: string): number {
  const value =
    { NaN: Number.NaN, '+Inf': Infinity, '-Inf': -Infinity }[text] ??
    (/^[-+]?\d*\.?\d+(e[-+]?\d+)?$/i.test(text) ? Number(text) : Number.NaN)
  if (Number.isNaN(value) && text !== 'NaN') throw new Error(`no number: ${text}`)
  return value
}

/** Throws Error for text that is no such format. */
export function parsedMetrics(text: string): Map<string, Metric> {
  if (!text.endsWith('\n')) throw new Error('no newline at the end')
  const metrics = new Map<string, Metric>()
  let current: Metric | undefined
  let helped: string | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const [, what, about, rest] = /^# (HELP|TYPE) (\S+) (.*)$/s.exec(line) ?? []
    if (what === 'HELP') {
      helped = about!
      continue
    }
    if (what === 'TYPE') {
      if (metrics.has(about!)) throw new Error(`${about} is there twice`)
      if (helped !== about) throw new Error(`${about} has no help`)
      if (!['counter', 'gauge', 'histogram'].includes(rest!)) throw new Error(`${about} has the type ${rest}`)
      current = { name: about!, type: rest!, samples: [] }
      metrics.set(about!, current)
      continue
    }
    const [, name, labels, value] = sampleLine.exec(line) ?? []
    if (name === undefined) throw new Error(`a line that cannot be read: ${line}`)
    const suffixes = current?.type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
    if (current === undefined || !suffixes.some(suffix => name === current!.name + suffix))
      throw new Error(`${name} is not where its family is`)
    current.samples.push({ name, labels: labelsOf(labels ?? ''), value: numberOf(value!) })
  }
  return metrics
}

function histogramFaults({ name, samples }: Metric): string[] {
  const groups = Map.groupBy(samples, ({ labels: { le: _, ...labels } }) => JSON.stringify(sorted(labels)))
  return [...groups.values()].flatMap(group => {
    const buckets = group.filter(sample => sample.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels }) => numberOf(labels.le!))
    const falls = buckets.some(
      ({ value }, index) =>
        index > 0 && (value < buckets[index - 1]!.value || bounds[index]! <= bounds[index - 1]!),
    )
    const count = group.find(sample => sample.name === `${name}_count`)?.value
    return [
      ...(bounds.at(-1) === Infinity ? [] : [`${name} has no +Inf`]),
      ...(falls ? [`the buckets of ${name} fall`] : []),
      ...(group.some(sample => sample.name === `${name}_sum`) ? [] : [`${name} has no sum`]),
      ...(count === buckets.at(-1)?.value ? [] : [`the count of ${name} is another`]),
    ]
  })
}

/** What is wrong with metrics. */
export function metricsFaults(text: string): string[] {
  let metrics: Map<string, Metric>
  try {
    metrics = parsedMetrics(text)
  } catch (error) {
    return [(error as Error).message]
  }
  return [...metrics.values()].flatMap(metric => {
    const keys = metric.samples.map(({ name, labels }) => JSON.stringify([name, sorted(labels)]))
    const twice = keys.find((key, index) => keys.indexOf(key) !== index)
    const negative = metric.type === 'counter' && metric.samples.some(({ value }) => value < 0)
    return [
      ...(negative ? [`${metric.name} is negative`] : []),
      ...(twice === undefined ? [] : [`a series twice: ${twice}`]),
      ...(metric.type === 'histogram' ? histogramFaults(metric) : []),
    ]
  })
}
