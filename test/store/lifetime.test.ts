// Promises P41 and P65 over a virtual month, or the first 18 days of one: every table is bounded, and the file is at most 1.2 times its data.
import { expect, onTestFinished, test } from 'vitest'
import { report, size } from '../faults/report.ts'
import {
  acceptHour,
  dayMs,
  defineDay,
  hourMs,
  integrity,
  newLife,
  rowCounts,
  sizes,
  sweep,
  t0,
  workHour,
  type Life,
} from '../support/lifetime.ts'

/** Events of an hour of the month: 1,000,000 in all at length. */
const hourly = size('SIGNALBOX_MONTH', 8, 1400)
const days = size('SIGNALBOX_DAYS', 18, 30)
const retention = {
  audit_ms: 7 * dayMs,
  event_ms: 2 * dayMs,
  dead_ms: 3 * dayMs,
  dedupe_ms: dayMs,
  signed_body_ms: dayMs,
}

interface Month extends Life {
  /** tables that have held something */
  used: Set<string>
}

async function life(): Promise<Month> {
  const made = await newLife()
  onTestFinished(made.close)
  return { ...made, used: new Set() }
}

interface Upkeep {
  /** none: nothing is removed */
  limits?: { max_bytes?: number } | 'none'
  /** undefined: nothing is given back */
  keep_share: number | undefined
}

/** A day from its definitions to its last sweep. */
async function day(
  lived: Month,
  number: number,
  events: number,
  { limits = {}, keep_share }: Upkeep = { keep_share: 1 / 16 },
): Promise<void> {
  await defineDay(lived, number)
  for (let hour = number * 24; hour < (number + 1) * 24; hour++) {
    await acceptHour(lived, hour, events)
    for (const [name, rows] of Object.entries(rowCounts(lived))) if (rows > 0) lived.used.add(name)
    await workHour(lived, hour)
    if (limits !== 'none')
      await sweep(lived, { ...retention, ...limits, now: t0 + (hour + 1) * hourMs }, keep_share)
  }
}

/** Tables that have clearly more rows than before. */
function grown(before: Record<string, number>, after: Record<string, number>): string[] {
  return Object.keys(after).filter(name => after[name]! > before[name]! * 1.2 + 5)
}

test('over weeks: every table and the file are bounded', async () => {
  const begun = performance.now()
  const lived = await life()
  for (let number = 0; number < 12; number++) await day(lived, number, hourly)
  const before = rowCounts(lived)
  for (let number = 12; number < days; number++) await day(lived, number, hourly)
  const after = rowCounts(lived)
  expect(grown(before, after), JSON.stringify({ before, after })).toEqual(['spending'])
  const scopes = lived.db.prepare<[], number>('SELECT count(DISTINCT scope) FROM spending').pluck().get()!
  // What was used is kept for as long as the longest budget, 31 days: by the hour, of the last day by the minute.
  expect(after.spending).toBeLessThan(scopes * (31 * 24 + 26 * 60))
  // What this life has no use for: test/conformance/gates.ts shows that rows of these go with their runs or objects.
  const unused = [
    'body_index',
    'delivery_index',
    'lane_opening',
    'lost_lease',
    'queue',
    'removed_event',
    'run_dependency',
    'unrouted',
  ]
  expect(Object.keys(after).filter(name => !lived.used.has(name) && !unused.includes(name))).toEqual([])
  expect(integrity(lived)).toBe('ok')
  const { file, data } = sizes(lived)
  report(
    'P41',
    `${days} days of ${hourly} events an hour: ${file} bytes of file, ${data} of data`,
    1,
    0,
    begun,
  )
  expect(file / data).toBeLessThan(1.2)
})

test('control: without retention, all that events make grows', async () => {
  const lived = await life()
  for (let number = 0; number < 2; number++)
    await day(lived, number, 8, { limits: 'none', keep_share: undefined })
  const before = rowCounts(lived)
  for (let number = 2; number < 5; number++)
    await day(lived, number, 8, { limits: 'none', keep_share: undefined })
  const tables = [
    'attempt',
    'audit',
    'context_file',
    'decision',
    'event',
    'rate_key',
    'rate_ring',
    'run_archive',
    'run_history',
    'seen_item',
    'tick',
    'token',
    'trigger_version',
  ]
  expect(grown(before, rowCounts(lived))).toEqual(expect.arrayContaining(tables))
})

test.each([
  ['the file shrinks after a busy day', 1 / 16, true],
  ['control: without vacuum it does not', undefined, false],
])('%s', async (_name, keep_share, small) => {
  const lived = await life()
  await day(lived, 0, 60)
  for (let number = 1; number < 6; number++) await day(lived, number, 4, { keep_share })
  const { file, data } = sizes(lived)
  expect(file / data < 1.2).toBe(small)
})

test('retention_bytes bounds the data, not what is open', async () => {
  const lived = await life()
  const max_bytes = 2_000_000
  for (let number = 0; number < 3; number++)
    await day(lived, number, 60, { limits: { max_bytes }, keep_share: 1 / 16 })
  const { file } = sizes(lived)
  expect(file).toBeLessThan(1.2 * max_bytes)
  const { event, removed_event } = rowCounts(lived)
  expect(event).toBeGreaterThan(100)
  // A day of delivery keys outlives its events.
  expect(removed_event! + event!).toBeGreaterThan(24 * 60)
  expect(removed_event).toBeLessThan(26 * 60)
})
