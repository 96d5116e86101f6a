// Cron expressions: croner reads them and finds their instants; here is what is asked of it, and the limits. Pure.
//
// In a gap of the local clock a fixed time comes once, at the first instant after the gap; in an overlap once, at its
// first occurrence. What has a wildcard or a step in its hours, minutes or seconds follows real time: nothing in a gap,
// both times in an overlap. test/intake/schedule.test.ts compares that with an enumeration of every minute.
import { Cron } from 'croner'

/** An expression or a time zone that cannot be used; the message says why. */
export class ScheduleError extends Error {}

/**
 * A Cron holds 84 KB, most of it a list of all years, and is made in 0.13 ms. Only the last one is kept: with the newest
 * 64 a router that plans 10,000 schedules at its start stays at 390 MiB, since the heap keeps what outlives a young
 * collection and its pages; so it stays at 210.
 */
let last: { key: string; cron: Cron } | undefined
const fields = /^(\S+\s+){4,6}\S+$/
const nicknames = /^@(hourly|daily|midnight|weekly|monthly|yearly|annually)$/i

function cron(expression: string, timezone: string): Cron {
  const key = `${timezone} ${expression}`
  if (last?.key !== key)
    last = { key, cron: new Cron(expression, { timezone, paused: true, fixedTimeRule: 'no-wildcard' }) }
  return last.cron
}

/** Throws ScheduleError for an unknown IANA name. */
function assertTimezone(timezone: string): void {
  try {
    if (!/^[A-Za-z]/.test(timezone)) throw new RangeError()
    Intl.DateTimeFormat('en-US', { timeZone: timezone })
  } catch {
    throw new ScheduleError(
      `timezone must be an IANA name such as Europe/Berlin; found ${JSON.stringify(timezone)}`,
    )
  }
}

/** Throws ScheduleError where an expression cannot be read, or a time zone does not exist. */
export function assertSchedule(expression: string, timezone: string): void {
  assertTimezone(timezone)
  const text = expression.trim()
  if (!fields.test(text) && !nicknames.test(text)) {
    throw new ScheduleError(
      `expression must have five fields (minute hour day month weekday), six with seconds in front, seven with years behind, or be @hourly, @daily, @weekly, @monthly or @yearly; found ${JSON.stringify(expression)}`,
    )
  }
  try {
    cron(text, timezone)
  } catch (error) {
    throw new ScheduleError(
      `expression cannot be read: ${(error as Error).message.replace(/^CronPattern: /, '')}`,
    )
  }
}

/** The first instant after a time; null: none comes any more. Expression and zone have been checked. */
export function nextTick(expression: string, timezone: string, after: number): number | null {
  return cron(expression.trim(), timezone).nextRun(new Date(after))?.getTime() ?? null
}

/** The last instants up to a time and after another, oldest first, so many at the most. */
export function lastTicks(
  expression: string,
  timezone: string,
  until: number,
  after: number,
  most: number,
): number[] {
  return cron(expression.trim(), timezone)
    .previousRuns(most, new Date(until + 1))
    .map(date => date.getTime())
    .filter(at => at <= until && at > after)
    .toReversed()
}

/** Whether the local time of an instant is one that the expression names; not so right after a gap. */
export function isNamed(expression: string, timezone: string, at: number): boolean {
  return cron(expression.trim(), timezone).match(new Date(at))
}
