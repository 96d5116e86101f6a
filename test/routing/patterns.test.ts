// The pattern language: PATTERNS.md as tests, and the matcher against the judge on made-up pairs.
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { explainMatch } from '../../src/routing/explain.ts'
import { Matcher, type MatchEvent } from '../../src/routing/matcher.ts'
import { compilePattern, folded, inexactNumber, PatternError } from '../../src/routing/pattern.ts'
import { referenceMatches } from '../support/reference-matcher.ts'

function matches(pattern: unknown, event: unknown): boolean {
  return new Matcher([{ source_id: null, pattern: compilePattern(pattern), target: true }]).match(event as MatchEvent).length > 0
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
    expect(matches(JSON.parse(pattern), JSON.parse(event))).toBe(verdict === 'matches')
    if (!/fd00|::ffff/.test(pattern)) expect(referenceMatches(JSON.parse(pattern) as Record<string, unknown>, JSON.parse(event))).toBe(verdict === 'matches')
  })
  test.each(refused)('refused: %s', (pattern, reason) => {
    expect(() => compilePattern(JSON.parse(pattern))).toThrow(PatternError)
    expect(() => compilePattern(JSON.parse(pattern))).toThrow(reason)
  })
})

// Few keys and values, so that patterns and events meet.
const key = fc.constantFrom('a', 'b', 'c', 'a.b', 'z', '', 'b-c')
const word = fc.constantFrom('', 'x', 'xy', 'xyx', 'X', 'ß', 'ẞ', 'K', 'k', '😀', 'a*b', 'a\\b', '1', '10.0.0.1', '10.9.9.9')
const number = fc.constantFrom(0, -0, 1, 1.5, -3, 1e21, 5)
const scalar = fc.oneof(word, number, fc.boolean(), fc.constant(null))
const eventValue = fc.letrec(tie => ({
  value: fc.oneof({ maxDepth: 4 }, scalar, fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(key, tie('value'), { maxKeys: 3, noNullPrototype: true })),
})).value
const eventOf = fc.dictionary(key, eventValue, { maxKeys: 4, noNullPrototype: true })

const affixArgument = fc.oneof(
  word,
  word.map(each => ({ 'equals-ignore-case': each })),
)
const textTests = fc.oneof(
  affixArgument.map(prefix => ({ prefix })),
  affixArgument.map(suffix => ({ suffix })),
  word.map(each => ({ 'equals-ignore-case': each })),
  fc.constantFrom('*', 'x*', '*x', 'x*x', '*y*', '', 'a\\*b', 'a\\\\b', '*ß', 'x*y*x').map(wildcard => ({ wildcard })),
)
const excluding = fc.oneof(fc.array(word, { minLength: 1, maxLength: 3 }), fc.array(number, { minLength: 1, maxLength: 3 }), word, number, textTests)
const alternative = fc.oneof(
  { weight: 4, arbitrary: scalar },
  textTests,
  excluding.map(each => ({ 'anything-but': each })),
  fc.constantFrom(['=', 1], ['<', 1], ['>=', 0], ['>', 0, '<=', 1.5], ['>', -5, '<', 0]).map(numeric => ({ numeric })),
  fc.boolean().map(exists => ({ exists })),
  fc.constantFrom('10.0.0.0/8', '10.0.0.1/32', '0.0.0.0/0').map(cidr => ({ cidr })),
)
const patternOf = fc.letrec<{ pattern: Record<string, unknown> }>(tie => ({
  pattern: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.dictionary(key, fc.array(alternative, { minLength: 1, maxLength: 3 }), { minKeys: 1, maxKeys: 3, noNullPrototype: true }),
    fc.dictionary(key, fc.oneof(fc.array(alternative, { minLength: 1, maxLength: 2 }), tie('pattern')), { minKeys: 1, maxKeys: 3, noNullPrototype: true }),
    fc.tuple(key, fc.array(tie('pattern'), { minLength: 2, maxLength: 3 })).map(([, $or]) => ({ $or })),
  ),
})).pattern

// Objects in arrays, with so few values that consistency decides.
const bit = fc.constantFrom(0, 1)
const inner = fc.letrec(tie => ({
  object: fc.record(
    { b: fc.oneof(bit, fc.array(bit, { maxLength: 2 }), tie('list')), c: fc.oneof(bit, tie('list')), d: bit, z: bit },
    { requiredKeys: [], noNullPrototype: true },
  ),
  list: fc.oneof({ maxDepth: 3 }, bit, fc.array(tie('object'), { minLength: 1, maxLength: 3 })),
})).list
const nestedEvent = fc.record({ a: inner, q: inner }, { requiredKeys: ['a'], noNullPrototype: true })
const path = fc.constantFrom('a.b', 'a.c', 'a.d', 'a.z', 'a.b.b', 'a.b.c', 'a.b.d', 'a.c.b', 'a.c.d', 'a', 'q.b', 'q.c', 'q.d', 'q.b.d')
const nestedTest = fc.constantFrom<unknown[]>(
  [0],
  [1],
  [0, 1],
  [{ exists: false }],
  [{ exists: true }],
  [{ exists: false }, 1],
  [{ 'anything-but': 0 }],
  [{ numeric: ['>', 0] }],
)
const nestedPattern = fc.dictionary(path, nestedTest, { minKeys: 1, maxKeys: 4, noNullPrototype: true })
const anyPair = fc.oneof(fc.tuple(patternOf, eventOf), fc.tuple(nestedPattern, nestedEvent))

/** SIGNALBOX_PAIRS=1000000 for as many as there is time for. */
const pairs = Number(process.env.SIGNALBOX_PAIRS ?? 20_000)

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

  test('with many triggers at once, each is found exactly when it would be alone', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(patternOf, nestedPattern), { minLength: 2, maxLength: 12 }), fc.oneof(eventOf, nestedEvent), (patterns, event) => {
        const known = patterns.filter(pattern => compiled(pattern) !== undefined)
        const matcher = new Matcher(known.map((pattern, target) => ({ source_id: null, pattern: compilePattern(pattern), target })))
        expect(matcher.match(event as never)).toEqual(known.flatMap((pattern, index) => (referenceMatches(pattern, event) ? [index] : [])))
      }),
      { numRuns: pairs / 10 },
    )
  })

  test('control: a matcher without array consistency is found out', () => {
    const careless = (pattern: Record<string, unknown>, event: unknown): boolean => {
      const { conditions } = explainMatch(compilePattern(pattern), event as never)
      return [...new Set(conditions.map(each => each.branch))].some(branch => conditions.filter(each => each.branch === branch).every(each => each.field_holds))
    }
    expect(() =>
      fc.assert(
        fc.property(anyPair, ([pattern, event]) => {
          if (compiled(pattern) !== undefined) expect(careless(pattern, event)).toBe(referenceMatches(pattern, event))
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
    if (other.length !== character.length || !new RegExp(`^\\u{${code.toString(16)}}$`, 'iu').test(other)) wrong.push(code.toString(16))
  }
  expect(wrong).toEqual([])
})

test.each([
  ['{"a": [1, 1.0, 1e0, -0, 0.1, 1.5e300, 9007199254740992, 123456.789]}', undefined],
  ['{"a": [9007199254740993]}', '9007199254740993'],
  ['{"a": [{"numeric": [">", 0.1234567890123456789]}]}', '0.1234567890123456789'],
  ['{"a": [1e400]}', '1e400'],
])('numbers that a double cannot hold: %s', (source, found) => {
  expect(inexactNumber(source)).toBe(found)
})

test('an event of 50,000 elements costs its elements, not their pairs', () => {
  const elements = Array.from({ length: 50_000 }, (_, index) => ({ x: 1, y: 2, n: index }))
  const event = { payload: { list: elements } }
  expect(matches({ payload: { list: { x: [1], y: [2], z: [{ exists: false }] } } }, event)).toBe(true)
  expect(matches({ payload: { list: { x: [1], y: [3] } } }, event)).toBe(false)
  expect(matches({ payload: { list: { n: [49_999], x: [1], y: [{ 'anything-but': 2 }, { numeric: ['=', 2] }] } } }, event)).toBe(true)
})

test('prototypes are no fields', () => {
  const event = JSON.parse('{"payload": {"__proto__": {"admin": true}, "a": 1}}') as MatchEvent
  expect(matches({ payload: { __proto__x: [1] } }, event)).toBe(false)
  expect(matches({ payload: { constructor: { name: [{ exists: true }] } } }, event)).toBe(false)
  expect(matches({ payload: { toString: [{ exists: true }] } }, event)).toBe(false)
  expect(matches(JSON.parse('{"payload": {"__proto__": {"admin": [true]}}}'), event)).toBe(true)
  expect(({} as { admin?: boolean }).admin).toBeUndefined()
})
