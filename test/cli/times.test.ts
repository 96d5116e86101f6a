// Times and lengths as people write them, and as they are shown: local on a terminal, UTC elsewhere.
import { describe, expect, test } from 'vitest'
import { comingTime, lengthArgument, timeArgument } from '../../src/cli/times.ts'
import { hasTerminal, onTerminal, signalbox } from '../support/command-line.ts'
import { freshRouter } from '../support/router.ts'

const hour = 3_600_000

describe('as they are written', () => {
  test.each([
    ['90s', 90_000],
    ['15m', 900_000],
    ['2h30m', 2.5 * hour],
    ['7d', 168 * hour],
    ['500ms', 500],
    ['1m500ms', 60_500],
    ['15', 15_000],
  ])('%s is a length', (text, ms) => {
    expect(lengthArgument(text)).toBe(ms)
  })

  test.each(['', 'm', '15 m', '-5m', '1.5h', '2h30', '5w', '9'.repeat(12)])('%j is no length', text => {
    expect(() => lengthArgument(text)).toThrow(
      /^a length of time such as 45s, 15m, 2h30m or 7d was expected; found /,
    )
  })

  test.each([
    ['2026-01-31', new Date(2026, 0, 31)],
    ['2026-01-31T12:00', new Date(2026, 0, 31, 12)],
    ['2026-01-31 12:00:05.5', new Date(2026, 0, 31, 12, 0, 5, 500)],
    ['2026-01-31Z', new Date(Date.UTC(2026, 0, 31))],
    ['2026-01-31T12:00+02:00', new Date(Date.UTC(2026, 0, 31, 10))],
    ['2026-01-31T12:00-0530', new Date(Date.UTC(2026, 0, 31, 17, 30))],
    ['2028-02-29', new Date(2028, 1, 29)],
  ])('%s is one instant, local without a zone', (text, date) => {
    expect(timeArgument(text)).toBe(date.getTime())
    expect(comingTime(text)).toBe(date.getTime())
  })

  test.each([
    '2026-02-30',
    '2026-02-29T12:00Z',
    '2026-13-01',
    '2026-00-10',
    '2026-01-31T24:01',
    '2026-01-31T12:60',
    '2026-01-31T12',
  ])('%s does not exist', text => {
    expect(() => timeArgument(text)).toThrow(`found ${JSON.stringify(text)}`)
  })

  test('a time is a date, milliseconds, or a length before or after now', () => {
    const near = (time: number, length: number): boolean => Math.abs(time - Date.now() - length) < hour / 2
    expect(near(timeArgument('2h'), -2 * hour)).toBe(true)
    expect(near(comingTime('2h'), 2 * hour)).toBe(true)
    for (const read of [timeArgument, comingTime]) {
      expect(read('2026-01-31T12:00Z')).toBe(Date.UTC(2026, 0, 31, 12))
      expect(read('1769860800000')).toBe(1_769_860_800_000)
      for (const wrong of ['yesterday', '12:00', '2026', '-2h'])
        expect(() => read(wrong)).toThrow('was expected; found')
    }
  })
})

test.skipIf(!hasTerminal)(
  'as they are shown: local on a terminal unless --utc is given, UTC in a pipe',
  async () => {
    const router = await freshRouter()
    await router.call('source.put', { source: { id: 's', source_type: 'service' } })
    const tokyo = { TZ: 'Asia/Tokyo' }
    const local = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+09:00/
    const utc = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ/
    const shown = await onTerminal(router, ['sources', 'show', 's'], { env: tokyo })
    expect(shown.out).toMatch(local)
    expect(shown.out).not.toMatch(utc)
    const at = async (text: string): Promise<number> =>
      Date.parse(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:Z|\+09:00)/.exec(text)![0].replace(' ', 'T'))
    const inUtc = await onTerminal(router, ['--utc', 'sources', 'show', 's'], { env: tokyo })
    const piped = await signalbox(router, ['sources', 'show', 's'], tokyo)
    for (const { out } of [inUtc, piped]) {
      expect(out).toMatch(utc)
      expect(await at(out)).toBe(await at(shown.out))
    }
  },
)
