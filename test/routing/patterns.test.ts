// The pattern language: PATTERNS.md as tests, and the matcher against the judge on made-up pairs.
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { explainMatch } from '../../src/routing/explain.ts'
import { Matcher } from '../../src/routing/matcher.ts'
import type { MatchEvent } from '../../src/routing/match-event.ts'
import { folded } from '../../src/routing/conditions.ts'
import { PatternError } from '../../src/routing/pattern-limits.ts'
import { exactJson } from '../../src/exact-json.ts'
import { compilePattern } from '../../src/routing/pattern.ts'
import {
  alternatives,
  anyPair,
  eventOf,
  nestedEvent,
  nestedPattern,
  pairs,
  patternOf,
  patternsOf,
} from '../support/pattern-pairs.ts'
import { referenceMatches } from '../support/reference-matcher.ts'

function matches(pattern: unknown, event: unknown): boolean {
  return (
    new Matcher([['one', { source_id: null, pattern: compilePattern(pattern), target: true }]]).match(
      event as MatchEvent,
    ).length > 0
  )
}

/** The same for a payload as its text, which is not parsed unless it has to be. */
function matchesText(pattern: unknown, text: string): boolean {
  const matcher = new Matcher([
    ['one', { source_id: null, pattern: compilePattern({ payload: pattern }), target: true }],
  ])
  const attributes = {
    id: '',
    source_id: '',
    type: '',
    subject: null,
    actor: null,
    thread: null,
    timestamp: 0,
    headers: {},
  }
  const found =
    matcher.matchJson(attributes, Buffer.from(text)) ??
    matcher.match({ ...attributes, payload: exactJson(text) })
  return found.length > 0
}

const text = readFileSync('src/routing/PATTERNS.md', 'utf8')
const blocks = [...text.matchAll(/```pattern\n([\s\S]*?)```/g)].map(match => match[1]!.trim().split('\n'))
const examples = blocks.flatMap(([pattern, ...events]) =>
  events.map(line => [line.startsWith('✓') ? 'matches' : 'does not match', pattern!, line.slice(2)] as const),
)
const refused = [...text.matchAll(/```refused\n([\s\S]*?)```/g)]
  .flatMap(match => match[1]!.trim().split('\n'))
  .map(line => /^(.*?})\s{1,}([a-z].*)$/.exec(line)!.slice(1) as [string, string])

describe('PATTERNS.md', () => {
  test('has examples', () => {
    expect(examples.length).toBeGreaterThan(100)
    expect(refused.length).toBeGreaterThan(30)
  })
  test.each(examples)('%s: %s %s', (verdict, pattern, event) => {
    expect(matches(exactJson(pattern), exactJson(event))).toBe(verdict === 'matches')
    // Actors are folded at the top of an event only, and the judge knows nothing of it.
    if (pattern.startsWith('{"actor"')) return
    expect(explainMatch(compilePattern(exactJson(pattern)), exactJson(event) as never).matched).toBe(
      verdict === 'matches',
    )
    expect(matchesText(exactJson(pattern), event)).toBe(verdict === 'matches')
    if (!/fd00|cidr/.test(pattern))
      expect(referenceMatches(exactJson(pattern) as Record<string, unknown>, exactJson(event))).toBe(
        verdict === 'matches',
      )
  })
  test.each(refused)('refused: %s', (pattern, reason) => {
    expect(() => compilePattern(JSON.parse(pattern))).toThrow(PatternError)
    expect(() => compilePattern(JSON.parse(pattern))).toThrow(reason)
  })
})

function compiled(pattern: unknown): ReturnType<typeof compilePattern> | undefined {
  try {
    return compilePattern(pattern)
  } catch (error) {
    if (error instanceof PatternError) return undefined
    throw error
  }
}

describe('the matcher and the judge agree', () => {
  test(`on ${pairs} pairs, and so does explain`, () => {
    let matched = 0
    let judged = 0
    fc.assert(
      fc.property(anyPair, ([pattern, event]) => {
        const known = compiled(pattern)
        if (known === undefined) return
        judged++
        const wanted = referenceMatches(pattern, event)
        if (wanted) matched++
        expect(matches(pattern, event)).toBe(wanted)
        expect(explainMatch(known, event as never).matched).toBe(wanted)
      }),
      { numRuns: pairs },
    )
    // A generator that never matches, or only makes refused patterns, would prove nothing.
    expect(matched / pairs).toBeGreaterThan(0.05)
    expect(judged / pairs).toBeGreaterThan(0.7)
  })

  test.each(Object.entries(alternatives))('on %s alone', (_operator, one) => {
    fc.assert(
      fc.property(patternsOf(one as fc.Arbitrary<unknown>), eventOf, (pattern, event) => {
        const known = compiled(pattern)
        if (known === undefined) return
        const wanted = referenceMatches(pattern, event)
        expect(matches(pattern, event)).toBe(wanted)
        expect(explainMatch(known, event as never).matched).toBe(wanted)
      }),
      { numRuns: pairs / 10 },
    )
  })

  test('with many triggers at once, each is found exactly when it would be alone', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(patternOf, nestedPattern), { minLength: 2, maxLength: 12 }),
        fc.oneof(eventOf, nestedEvent),
        (patterns, event) => {
          const known = patterns.filter(pattern => compiled(pattern) !== undefined)
          const matcher = new Matcher(
            known.map((pattern, target) => [
              String(target),
              { source_id: null, pattern: compilePattern(pattern), target },
            ]),
          )
          expect(matcher.match(event as never).toSorted((a, b) => a - b)).toEqual(
            known.flatMap((pattern, index) => (referenceMatches(pattern, event) ? [index] : [])),
          )
        },
      ),
      { numRuns: pairs / 10 },
    )
  })

  test('control: a matcher without array consistency is found out', () => {
    const careless = (pattern: Record<string, unknown>, event: unknown): boolean => {
      const { conditions } = explainMatch(compilePattern(pattern), event as never)
      return [...new Set(conditions.map(each => each.branch))].some(branch =>
        conditions.filter(each => each.branch === branch).every(each => each.field_holds),
      )
    }
    expect(() =>
      fc.assert(
        fc.property(anyPair, ([pattern, event]) => {
          if (compiled(pattern) !== undefined)
            expect(careless(pattern, event)).toBe(referenceMatches(pattern, event))
        }),
        { numRuns: 5000 },
      ),
    ).toThrow()
  })
})

test('case folding is that of the Unicode tables that regular expressions use', () => {
  const wrong: string[] = []
  for (let code = 0; code <= 0x1_ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    const character = String.fromCodePoint(code)
    const other = folded(character)
    if (other.length !== character.length || !new RegExp(`^\\u{${code.toString(16)}}$`, 'iu').test(other))
      wrong.push(code.toString(16))
  }
  expect(wrong).toEqual([])
})

test('explain shows numbers with the digits that were written', () => {
  const pattern = compilePattern(
    exactJson('{"payload": {"id": [813683310949021978, 10.0], "n": [{"numeric": [">", 1e400]}]}}'),
  )
  const { conditions } = explainMatch(
    pattern,
    exactJson('{"payload": {"id": [813683310949021977, 10.00], "n": 5}}') as MatchEvent,
  )
  const shown = conditions.map(({ expected, found, holds }) => JSON.stringify([expected, found, holds]))
  expect(shown).toEqual([
    '[813683310949021978,[813683310949021977,10.00],false]',
    '[10.0,[813683310949021977,10.00],true]',
    '[[">",1e400],[5],false]',
  ])
})

test('a number in a filter has at most 512 characters', () => {
  expect(() => compilePattern(exactJson(`{"a": [${'1'.repeat(512)}]}`))).not.toThrow()
  expect(() => compilePattern(exactJson(`{"a": [${'1'.repeat(513)}]}`))).toThrow(
    'at most 512 characters; found 513',
  )
  expect(() => compilePattern(exactJson(`{"a": [{"numeric": ["<", ${'1'.repeat(513)}]}]}`))).toThrow(
    PatternError,
  )
  expect(() => compilePattern(exactJson(`{"a": [{"anything-but": ${'1'.repeat(513)}}]}`))).toThrow(
    PatternError,
  )
})

test('numbers of an event may be of any length', () => {
  const filter = exactJson(
    `{"a": [{"numeric": ["=", 1${'0'.repeat(400)}]}, {"numeric": [">", 0.${'1'.repeat(400)}, "<", 0.${'1'.repeat(399)}2]}]}`,
  )
  const one = (text: string): boolean => matchesText(filter, `{"a": ${text}}`)
  expect(one(`1${'0'.repeat(400)}.${'0'.repeat(2000)}`)).toBe(true)
  expect(one(`1${'0'.repeat(400)}.${'0'.repeat(2000)}1`)).toBe(false)
  expect(one(`0.${'1'.repeat(400)}${'0'.repeat(2000)}1`)).toBe(true)
  expect(one(`0.${'1'.repeat(400)}${'0'.repeat(2000)}`)).toBe(false)
  expect(one(`1e${'9'.repeat(100_000)}`)).toBe(false)
})

test('an event of 50,000 elements costs its elements, not their pairs', () => {
  const elements = Array.from({ length: 50_000 }, (_, index) => ({ x: 1, y: 2, n: index }))
  const event = { payload: { list: elements } }
  expect(matches({ payload: { list: { x: [1], y: [2], z: [{ exists: false }] } } }, event)).toBe(true)
  expect(matches({ payload: { list: { x: [1], y: [3] } } }, event)).toBe(false)
  expect(
    matches(
      { payload: { list: { n: [49_999], x: [1], y: [{ 'anything-but': 2 }, { numeric: ['=', 2] }] } } },
      event,
    ),
  ).toBe(true)
})

test('prototypes are no fields', () => {
  const event = JSON.parse('{"payload": {"__proto__": {"admin": true}, "a": 1}}') as MatchEvent
  expect(matches({ payload: { __proto__x: [1] } }, event)).toBe(false)
  expect(matches({ payload: { constructor: { name: [{ exists: true }] } } }, event)).toBe(false)
  expect(matches({ payload: { toString: [{ exists: true }] } }, event)).toBe(false)
  expect(matches(JSON.parse('{"payload": {"__proto__": {"admin": [true]}}}'), event)).toBe(true)
  expect(({} as { admin?: boolean }).admin).toBeUndefined()
})
