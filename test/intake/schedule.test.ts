// Schedules against an oracle that looks at every minute: 10 zones, 40 expressions, one year, or two
// with --full (promise P27). Every zone moves its clock twice within a year, where it does at all.
import { describe, expect, test } from 'vitest'
import { previewed } from '../../src/definitions/schedule-preview.ts'
import { assertSchedule, lastTicks, nextTick, ScheduleError } from '../../src/definitions/schedule.ts'
import { size } from '../faults/report.ts'
import { enumerated, ZoneTable } from '../support/cron-oracle.ts'

const from = Date.UTC(size('SIGNALBOX_FROM_YEAR', 2026, 2025), 0, 1)
const until = Date.UTC(2027, 0, 1)
const dayMs = 86_400_000
const zones = [
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Africa/Cairo',
  'America/Santiago',
  'Africa/Casablanca',
  'Atlantic/Azores',
  'Asia/Kathmandu',
  'Pacific/Apia',
  'UTC',
]
const expressions = [
  '* * * * *',
  '*/5 * * * *',
  '*/7 * * * *',
  '0-59/15 * * * *',
  '30 * * * *',
  '15,45 * * * *',
  '0 */2 * * *',
  '0 */3 * * *',
  '30 1-3 * * *',
  '* 2 * * *',
  '*/15 2 * * *',
  '*/10 0 * * *',
  '0 0 * * *',
  '15 0 * * *',
  '30 0 * * *',
  '0 1 * * *',
  '30 1 * * *',
  '59 1 * * *',
  '0 2 * * *',
  '30 2 * * *',
  '10,35,40 2 * * *',
  '45 1,2,3 * * *',
  '0 3 * * *',
  '30 2,14 * * *',
  '59 23 * * *',
  '0 1-23/2 * * *',
  '0 12 * * MON-FRI',
  '30 2 * * SUN',
  '30 0 * * 0',
  '0 0 L * *',
  '30 2 L * *',
  '0 9 15W * *',
  '0 9 1W * *',
  '0 8 * * MON#1',
  '30 1 * * SUN#L',
  '0 7 13 * FRI',
  '0 7 13 * +FRI',
  '0 0 1 JAN,JUL *',
  '0 0 29 2 *',
  '0 4 1-7 * +TUE',
]

/** All of it where there is not too much, else two days around every change of the clock. */
function spans(zone: ZoneTable, expression: string): [number, number][] {
  if (!/^\S*[*/,-]\S* |^\d+ \S*[*/,-]/.test(expression)) return [[from + dayMs, until - dayMs]]
  const changes: [number, number][] = []
  for (let at = from + 3 * dayMs; at < until - 3 * dayMs; at += dayMs) {
    if (zone.offset(at) !== zone.offset(at + dayMs)) changes.push([at - dayMs, at + 2 * dayMs])
  }
  return changes.length > 0 ? changes : [[from + dayMs, from + 4 * dayMs]]
}

function walked(expression: string, timezone: string, [start, end]: [number, number]): number[] {
  const found: number[] = []
  for (
    let at = nextTick(expression, timezone, start - 1);
    at !== null && at < end;
    at = nextTick(expression, timezone, at)
  )
    found.push(at)
  return found
}

describe.each(zones)('instants of %s', timezone => {
  const zone = new ZoneTable(timezone, from, until)
  test.each(expressions)('%s', expression => {
    let known = 0
    for (const [start, end] of spans(zone, expression)) {
      // The oracle begins a day early: what is left out or shown twice is seen from before it.
      const expected = enumerated(expression, zone, start - dayMs, end).filter(at => at >= start)
      expect(walked(expression, timezone, [start, end]).map(at => new Date(at).toISOString())).toEqual(
        expected.map(at => new Date(at).toISOString()),
      )
      // Backwards too, as it is asked where many were missed.
      expect(lastTicks(expression, timezone, end - 1, start - 1, expected.length + 5)).toEqual(expected)
      known += expected.length
    }
    if (expression !== '0 0 29 2 *') expect(known).toBeGreaterThan(0)
  })
})

test('control: fixed times by real time are not what the oracle says', () => {
  const zone = new ZoneTable('Europe/Berlin', from, until)
  const [start, end] = [Date.UTC(2026, 2, 27), Date.UTC(2026, 2, 31)]
  const naive: number[] = []
  for (let at = start; at < end; at += 60_000)
    if (new Date(at + zone.offset(at)).toISOString().slice(11, 16) === '02:30') naive.push(at)
  expect(naive).not.toEqual(enumerated('30 2 * * *', zone, start, end))
})

test('a preview marks what the clock leaves out and what it shows twice', async () => {
  const marks = async (
    expression: string,
    timezone: string,
    after: number,
    count: number,
  ): Promise<string[]> =>
    (await previewed(expression, timezone, after, count)).map(tick =>
      `${tick.local} ${tick.dst ?? ''}`.trim(),
    )
  expect(await marks('30 2 * * *', 'Europe/Berlin', Date.UTC(2026, 2, 28), 2)).toEqual([
    '2026-03-28 02:30:00 +01:00',
    '2026-03-29 03:00:00 +02:00 after_gap',
  ])
  expect(await marks('30 * * * *', 'Europe/Berlin', Date.UTC(2026, 9, 25, 0), 3)).toEqual([
    '2026-10-25 02:30:00 +02:00 first_of_two',
    '2026-10-25 02:30:00 +01:00 second_of_two',
    '2026-10-25 03:30:00 +01:00',
  ])
  expect((await marks('15 1 * * *', 'Australia/Lord_Howe', Date.UTC(2026, 3, 3), 3))[1]).toBe(
    '2026-04-05 01:15:00 +11:00',
  )
  expect((await marks('45 1 * * *', 'Australia/Lord_Howe', Date.UTC(2026, 3, 3), 3))[1]).toBe(
    '2026-04-05 01:45:00 +11:00 first_of_two',
  )
  expect(await marks('0 0 * * *', 'Africa/Cairo', Date.UTC(2026, 3, 22, 23), 2)).toEqual([
    '2026-04-24 01:00:00 +03:00 after_gap',
    '2026-04-25 00:00:00 +03:00',
  ])
})

describe('what cannot be used is refused at once', () => {
  test.each([
    '0 0 1--100000000 * *',
    '60 * * * *',
    '* * * *',
    '* * * * * * * *',
    '',
    'every day',
    '2030-01-01T00:00:00',
    '@reboot',
    '0-59999999999/1 * * * *',
    '*/0 * * * *',
    '* * 32 * *',
    '* * * 13 *',
    '* * * * 8',
    '1,,2 * * * *',
  ])('%s', expression => {
    expect(() => assertSchedule(expression, 'UTC')).toThrow(ScheduleError)
  })
  test.each(['Berlin', '', '+02:00', 'Europe/Nowhere', '../UTC'])('zone %s', timezone => {
    expect(() => assertSchedule('0 0 * * *', timezone)).toThrow(
      /^timezone must be an IANA name such as Europe\/Berlin; found/,
    )
  })
  test('seconds and years can be given', () => {
    expect(nextTick('15 30 12 1 1 * 2030', 'UTC', from)).toBe(Date.UTC(2030, 0, 1, 12, 30, 15))
    expect(nextTick('0 0 31 2 *', 'UTC', from)).toBeNull()
    expect(nextTick('0 0 0 1 1 * 2020', 'UTC', from)).toBeNull()
  })
})
