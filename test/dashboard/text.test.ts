import { describe, expect, test } from 'vitest'
import { isRaw, kindOf, pathText, readJson, writeJson } from '../../src/dashboard/json.ts'
import {
  bytes,
  clock,
  duration,
  fullTime,
  oneLine,
  plural,
  shellQuote,
  shortId,
  timeIn,
  visible,
} from '../../src/dashboard/text.ts'

describe('JSON', () => {
  test.each(['813683310949021977', '10.00', '1e400', '-0', '0.1', '12345678901234567890.5', '1.50e2'])(
    'keeps the digits of %s',
    text => {
      expect(writeJson(readJson(`{"a":[${text}]}`)).replaceAll(/\s/g, '')).toBe(`{"a":[${text}]}`)
      expect(writeJson(readJson(text))).toBe(text)
    },
  )

  test('reads ordinary numbers as numbers', () => {
    expect(readJson('{"a": 1, "b": 2.5}')).toEqual({ a: 1, b: 2.5 })
    expect(kindOf(readJson('10.00'))).toBe('number')
    expect(isRaw(readJson('10.00'))).toBe(true)
  })

  test('does not take digits in texts for numbers', () => {
    expect(readJson('{"a": "costs 1.50 now", "b": [3]}')).toEqual({ a: 'costs 1.50 now', b: [3] })
  })

  test('quotes keys of a path that hold a dot', () => {
    expect(pathText(['payload', 'a.b', 0, 'c'])).toBe('payload."a.b".0.c')
  })
})

describe('text of strangers', () => {
  test.each([
    ['a\u0007b\u001b[31m', 'a␇b␛[31m'],
    ['\u202Egnp.exe', '⟨U+202E⟩gnp.exe'],
    ['a\u200bb\ufeff', 'a⟨U+200B⟩b⟨U+FEFF⟩'],
    ['\u{e0041}tag', '⟨U+E0041⟩tag'],
    ['two\nlines\there', 'two\nlines\there'],
  ])('%j is shown as %j', (text, shown) => {
    expect(visible(text)).toBe(shown)
  })

  test('fits on one line', () => {
    expect(oneLine('a\nb\tc')).toBe('a␊b c')
    expect(oneLine('x'.repeat(300), 10)).toBe(`${'x'.repeat(9)}…`)
  })
})

describe('figures', () => {
  test.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [1250, '1.2 s'],
    [9999, '9.9 s'],
    [10_000, '10 s'],
    [134_000, '2 min 14 s'],
    [3_600_000, '1 h'],
    [18_180_000, '5 h 3 min'],
    [90_000_000, '1 d 1 h'],
    [12 * 86_400_000, '12 d'],
    [-5, '0 ms'],
  ])('%d ms is %s', (ms, text) => {
    expect(duration(ms)).toBe(text)
  })

  test.each([
    [512, '512 B'],
    [1536, '1.5 KiB'],
    [43_000_000, '41 MiB'],
  ])('%d bytes are %s', (count, text) => {
    expect(bytes(count)).toBe(text)
  })

  test('plurals', () => {
    expect([plural(1, 'run'), plural(2000, 'run'), plural(0, 'match', 'matches')]).toEqual([
      '1 run',
      '2,000 runs',
      '0 matches',
    ])
  })

  test('times have the date where it is another day', () => {
    const at = Date.UTC(2026, 10, 27, 10, 42, 7, 123)
    expect(clock(at, at, true)).toBe('10:42:07')
    expect(clock(at, at + 86_400_000, true)).toBe('2026-11-27 10:42:07')
    expect(fullTime(at, true)).toBe('2026-11-27 10:42:07.123 UTC')
  })

  test('ids are shortened to what the command line takes', () => {
    expect(shortId('01a21db0-bf6a-7000-810a-c93f5262ec48')).toBe('5262ec48')
  })

  test('arguments are quoted for a shell', () => {
    expect([shellQuote('acme/site#12'), shellQuote("it's"), shellQuote('forge')]).toEqual([
      "'acme/site#12'",
      String.raw`'it'\''s'`,
      'forge',
    ])
  })
})

describe('a time that a person wrote', () => {
  test.each([
    ['2h', 92_800_000],
    ['7 d', -504_800_000],
    ['1970-01-01T00:00:10Z', 10_000],
  ])('%s', (text, at) => {
    expect(timeIn(text, 'since', 100_000_000)).toBe(at)
  })

  test.each(['yesterday', '2 weeks', '-1h'])('%s is refused with what is accepted', text => {
    expect(() => timeIn(text, 'since', 0)).toThrow(
      `since must be a time such as 2026-11-27T10:00, or a length such as 2h or 7d; got "${text}"`,
    )
  })
})
