// Durations as people write them, such as 45s, 15m or 2h30m, in definition files and in the configuration. Pure.

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Such as 500ms, 90s, 2h30m or 7d, in milliseconds; undefined: this is not a duration. */
export function durationOf(text: string): number | undefined {
  if (!/^(?:\d{1,9}(?:ms|[smhd]))+$/.test(text)) return undefined
  const parts = [...text.matchAll(/(\d+)(ms|[smhd])/g)]
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * units[unit!]!, 0)
}

/** Keys whose values belong to the user: a text there stays a text. */
const foreign = new Set([
  'filter',
  'action',
  'body',
  'params',
  'payload',
  'payload_schema',
  'inputs',
  'headers',
  'env',
  'argv',
])

/** Keys of durations, or of lists of them, whose names do not end with _ms. */
const alsoDurations = new Set(['retry', 'period'])

function isDurationKey(key: string): boolean {
  return key.endsWith('_ms') || alsoDurations.has(key)
}

function inMilliseconds(value: unknown): unknown {
  if (typeof value === 'string') return durationOf(value) ?? value
  return Array.isArray(value) ? value.map(inMilliseconds) : value
}

/** The value with durations in milliseconds, where a key asks for milliseconds. What is not a duration stays for the validator. */
export function withDurations(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withDurations)
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => {
      if (foreign.has(key)) return [key, each]
      return [key, isDurationKey(key) ? inMilliseconds(each) : withDurations(each)]
    }),
  )
}
