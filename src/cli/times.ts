// Times and lengths of time on the command line.
import { UsageError } from './session.ts'

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const accepted = '45s, 15m, 2h30m or 7d'

/** Such as 500ms, 90s, 2h30m or 7d, in milliseconds; undefined: invalid. */
function lengthOf(text: string): number | undefined {
  if (!/^(?:\d{1,9}(?:ms|[smhd]))+$/.test(text)) return undefined
  return [...text.matchAll(/(\d+)(ms|[smhd])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * units[unit!]!,
    0,
  )
}

/** A date (ISO 8601) or milliseconds since 1970; undefined: it is neither. */
function dateOf(text: string): number | undefined {
  const value = /^\d{12,14}$/.test(text) ? Number(text) : /^\d{4}-/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(value) ? undefined : value
}

function timeOf(text: string, from: (length: number) => number, how: string): number {
  const length = lengthOf(text)
  const time = length === undefined ? dateOf(text) : from(length)
  if (time === undefined)
    throw new UsageError(
      `a date such as 2026-01-31T12:00Z, or ${how} (${accepted}), was expected; found ${JSON.stringify(text)}`,
    )
  return time
}

/** A time that is over: a date, milliseconds, or how long ago. Throws UsageError. */
export function timeArgument(text: string): number {
  return timeOf(text, length => Date.now() - length, 'how long ago')
}

/** A time to come: a date, milliseconds, or in how long. Throws UsageError. */
export function comingTime(text: string): number {
  return timeOf(text, length => Date.now() + length, 'in how long')
}

/** A length of time in milliseconds; a number alone is in seconds. Throws UsageError. */
export function lengthArgument(text: string): number {
  const length = /^\d{1,6}$/.test(text) ? Number(text) * units.s! : lengthOf(text)
  if (length === undefined)
    throw new UsageError(`a length of time such as ${accepted} was expected; found ${JSON.stringify(text)}`)
  return length
}
