// Times and lengths of time on the command line.
import { durationOf } from '../durations.ts'
import { UsageError } from './session.ts'

const accepted = '45s, 15m, 2h30m or 7d'

const isoDate =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?)?(Z|[+-]\d\d:?\d\d)?$/i

/** The offset of a zone such as Z or +02:00, in milliseconds. */
function offsetOf(zone: string): number {
  if (zone.toUpperCase() === 'Z') return 0
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))]
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000
}

/**
 * A date (ISO 8601) or milliseconds since 1970; undefined: it is neither, or a day or an hour that does not exist. Without a zone
 * it is local, with and without a time of day. Date.parse takes a date alone for UTC, and 30 February for 2 March.
 */
function dateOf(text: string): number | undefined {
  if (/^\d{12,14}$/.test(text)) return Number(text)
  const found = isoDate.exec(text)
  if (found === null) return undefined
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(part => Number(part ?? 0))
  const millisecond = Number((found[7] ?? '0').padEnd(3, '0'))
  const given = [year!, month! - 1, day!, hour!, minute!, second!, millisecond] as const
  const asUtc = new Date(Date.UTC(...given))
  const parts = [
    asUtc.getUTCFullYear(),
    asUtc.getUTCMonth(),
    asUtc.getUTCDate(),
    asUtc.getUTCHours(),
    asUtc.getUTCMinutes(),
  ]
  if (parts.some((part, index) => part !== given[index]) || second! > 59) return undefined
  return found[8] === undefined ? new Date(...given).getTime() : asUtc.getTime() - offsetOf(found[8])
}

function timeOf(text: string, from: (length: number) => number, how: string): number {
  const length = durationOf(text)
  const time = length === undefined ? dateOf(text) : from(length)
  if (time === undefined)
    throw new UsageError(
      `a date such as 2026-01-31T12:00Z (without Z it is local), or ${how} (${accepted}), was expected; found ${JSON.stringify(text)}`,
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
  const length = /^\d{1,6}$/.test(text) ? Number(text) * 1000 : durationOf(text)
  if (length === undefined)
    throw new UsageError(`a length of time such as ${accepted} was expected; found ${JSON.stringify(text)}`)
  return length
}
