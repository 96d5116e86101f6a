// The index: what it answers from bytes, after any history of changes, and for each of its parts.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { folded, wildcardHolds } from '../../src/routing/conditions.ts'
import { indexLimits } from '../../src/routing/index/cost-limits.ts'
import { exactJson } from '../../src/exact-json.ts'
import { explainMatch } from '../../src/routing/explain.ts'
import { Matcher } from '../../src/routing/matcher.ts'
import type { Attributes } from '../../src/routing/match-event.ts'
import { PatternError } from '../../src/routing/pattern-limits.ts'
import { compilePattern, type CompiledPattern } from '../../src/routing/pattern.ts'
import { Ranges } from '../../src/routing/index/ranges.ts'
import { searched, Wildcards } from '../../src/routing/index/wildcards.ts'
import {
  alternatives,
  eventOf,
  manyEvent,
  manyPattern,
  nestedEvent,
  nestedPattern,
  numberEvent,
  numberPattern,
  oddPattern,
  oddText,
  pairs,
  patternOf,
  patternsOf,
} from '../support/pattern-pairs.ts'
import { referenceMatches } from '../support/reference-matcher.ts'

type Pattern = Record<string, unknown>

const attributes: Attributes = {
  id: 'e',
  source_id: 'forge',
  type: 'push',
  subject: null,
  actor: null,
  thread: null,
  timestamp: 5,
  headers: { 'x-a': 'b' },
}

function compiled(pattern: unknown): CompiledPattern | undefined {
  try {
    return compilePattern(pattern)
  } catch (error) {
    if (error instanceof PatternError) return undefined
    throw error
  }
}

/** Fields of two values or more, with some in common. */
const sharing = fc.dictionary(
  fc.constantFrom('a', 'b'),
  fc.array(
    fc.constantFrom<unknown>(
      'x',
      'y',
      1,
      { prefix: 'x' },
      { wildcard: 'x*y' },
      { wildcard: '*y' },
      { 'equals-ignore-case': 'X' },
      { cidr: '10.0.0.0/8' },
    ),
    { minLength: 2, maxLength: 5 },
  ),
  { minKeys: 1, noNullPrototype: true },
)

const anyPattern = fc.oneof(sharing, patternOf, nestedPattern, ...Object.values(alternatives).map(patternsOf))
const anyEvent = fc.oneof(eventOf, nestedEvent) as fc.Arbitrary<unknown>

/** A matcher over patterns that are held against the payload alone; targets are their places. */
function over(patterns: readonly unknown[]): Matcher<number> {
  return new Matcher(
    patterns.flatMap((payload, target) => {
      const pattern = compiled({ payload })
      return pattern === undefined ? [] : [[String(target), { source_id: null, pattern, target }] as const]
    }),
  )
}

const ascending = (found: readonly number[]): number[] => found.toSorted((a, b) => a - b)

function judged(patterns: readonly Pattern[], event: unknown): number[] {
  return patterns.flatMap((pattern, index) =>
    compiled({ payload: pattern }) !== undefined && referenceMatches({ payload: pattern }, { payload: event })
      ? [index]
      : [],
  )
}

/** JSON as others may write it: other white space, and any character as an escape. */
function written(event: unknown, indent: string, escapes: boolean): string {
  const text = JSON.stringify(event, null, indent)
  return escapes
    ? text.replaceAll(/"(?:[^"\\]|\\.)*"/g, quoted =>
        JSON.stringify(JSON.parse(quoted)).replaceAll(
          /[a-zß]/g,
          letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
        ),
      )
    : text
}

describe('from the bytes of the payload', () => {
  const texts = fc.record({
    patterns: fc.array(anyPattern, { minLength: 1, maxLength: 8 }),
    event: anyEvent,
    indent: fc.constantFrom('', '  ', '\t', ' \r\n '),
    escapes: fc.boolean(),
  })

  test(`the judge's answer on ${pairs} sets, without being parsed`, () => {
    let matched = 0
    fc.assert(
      fc.property(texts, ({ patterns, event, indent, escapes }) => {
        const wanted = judged(patterns, event)
        if (wanted.length > 0) matched++
        const found = over(patterns).matchJson(attributes, Buffer.from(written(event, indent, escapes)))
        expect(found).toBeDefined()
        expect(ascending(found!)).toEqual(wanted)
      }),
      { numRuns: pairs / 2 },
    )
    expect(matched / pairs).toBeGreaterThan(0.1)
  })

  test('bytes that were changed are answered only if they are JSON, and then as JSON.parse reads them', () => {
    let answered = 0
    const damage = fc.array(
      fc.tuple(
        fc.nat(300),
        fc.oneof(
          fc.constantFrom(...Buffer.from('"{}[],:\\u0e+-.1tfn \n\u0001\u00ff')),
          fc.integer({ min: 0, max: 255 }),
        ),
        fc.constantFrom('change', 'insert', 'cut'),
      ),
      { maxLength: 3 },
    )
    fc.assert(
      fc.property(texts, damage, ({ patterns, event, indent, escapes }, changes) => {
        let bytes = Buffer.from(written(event, indent, escapes))
        for (const [place, byte, how] of changes) {
          const at = place % (bytes.length + 1)
          bytes = Buffer.concat([
            bytes.subarray(0, at),
            Buffer.from(how === 'cut' ? [] : [byte]),
            bytes.subarray(how === 'insert' ? at : at + 1),
          ])
        }
        const matcher = over(patterns)
        const found = matcher.matchJson(attributes, bytes)
        if (found === undefined) return
        answered++
        const payload = exactJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
        expect(ascending(found)).toEqual(ascending(matcher.match({ ...attributes, payload })))
        expect(ascending(found)).toEqual(judged(patterns, payload))
      }),
      { numRuns: pairs / 2 },
    )
    expect(answered / pairs).toBeGreaterThan(0.05)
  })

  /** As the router does it: from the bytes, or parsed where they are out of the ordinary. */
  const answered = (matcher: Matcher<number>, text: string): number[] =>
    matcher.matchJson(attributes, Buffer.from(text)) ??
    matcher.match({ ...attributes, payload: exactJson(text) })

  test('doubled and dotted keys in any order, as the judge', () => {
    let matched = 0
    let read = 0
    fc.assert(
      fc.property(fc.array(oddPattern, { minLength: 1, maxLength: 6 }), oddText, (patterns, text) => {
        const matcher = over(patterns)
        const payload = exactJson(text)
        const wanted = judged(patterns, payload)
        if (wanted.length > 0) matched++
        if (matcher.matchJson(attributes, Buffer.from(text)) !== undefined) read++
        expect(ascending(answered(matcher, text))).toEqual(wanted)
        const explained = patterns.flatMap((pattern, index) =>
          explainMatch(compilePattern({ payload: pattern }), { ...attributes, payload }).matched
            ? [index]
            : [],
        )
        expect(explained).toEqual(wanted)
      }),
      { numRuns: pairs },
    )
    expect(matched / pairs).toBeGreaterThan(0.1)
    expect(read / pairs).toBeGreaterThan(0.1)
  })

  test('numbers by their exact values, as the judge', () => {
    fc.assert(
      fc.property(
        fc.array(numberPattern, { minLength: 1, maxLength: 4 }),
        numberEvent,
        (patterns, payload) => {
          expect(ascending(answered(over(patterns), JSON.stringify(payload)))).toEqual(
            judged(patterns, payload),
          )
        },
      ),
      { numRuns: pairs / 4 },
    )
  })

  test('arrays of many values and objects, as the judge', () => {
    let matched = 0
    fc.assert(
      fc.property(fc.array(manyPattern, { minLength: 1, maxLength: 6 }), manyEvent, (patterns, payload) => {
        const wanted = judged(patterns, payload)
        matched += wanted.length
        expect(ascending(answered(over(patterns), JSON.stringify(payload)))).toEqual(wanted)
      }),
      { numRuns: pairs / 10 },
    )
    expect(matched / pairs).toBeGreaterThan(0.01)
  })

  test.each([
    ['{"a.b":1,"a":{"b":5},"a.b":2}', [2]],
    ['{"a":{"b":5},"a.b":1,"a.b":2}', [2]],
    ['{"a.b":1,"a":{"b":5}}', [0, 1]],
    ['{"a.b":1,"a":{"b":2},"\\u0061.b":5}', [2]],
    ['{"a":[{"a.b":0,"b":0}],"a.b":1,"a":{"b":5},"a.b":5}', []],
  ])('a dotted key twice around its nesting: %s', (text, wanted) => {
    const matcher = over([{ a: { b: [1] } }, { a: { b: [{ 'anything-but': [2, 5] }] } }, { a: { b: [2] } }])
    expect(ascending(answered(matcher, text))).toEqual(wanted)
  })

  const wants = over([
    { a: [{ exists: true }], 'b.c': [{ exists: true }] },
    { n: [1.5, -20, 1e21, 123_456_789_012_345] },
    { t: ['\ud800', '\ufffd', 'é', 'x'] },
  ])
  test.each([
    ['not JSON at all', 'x'],
    ['nothing', ''],
    ['an object that does not end', '{"a": 1'],
    ['text behind it', '{"a": 1} 2'],
    ['a comma too many', '{"a": 1,}'],
    ['an escape that is none', '{"a": "\\x"}'],
    ['an escape that is none, where nobody looks', '{"q": "\\x"}'],
    ['half an escape', '{"q": "\\u12"}'],
    ['a control character', '{"q": "\n"}'],
    ['a number with a leading zero', '{"q": 01}'],
    ['a number without digits', '{"a": -}'],
    ['a key that is wanted, twice', '{"a": 1, "a": 2}'],
    ['a dotted key that is wanted, twice', '{"b.c": 1, "b.c": 2}'],
    ['a key twice, once escaped', '{"a": 1, "\\u0061": 2}'],
    ['a byte order mark', '\ufeff{}'],
    ['deeper than 512', '['.repeat(600) + ']'.repeat(600)],
  ])('leaves to JSON.parse: %s', (_what, text) => {
    expect(wants.matchJson(attributes, Buffer.from(text))).toBeUndefined()
  })
  test('leaves bytes that are no UTF-8 to JSON.parse', () => {
    expect(wants.matchJson(attributes, Buffer.from([0x22, 0xff, 0x22]))).toBeUndefined()
  })
  test.each([
    ['a key twice that nobody wants', '{"q": 1, "q": {"a": 2}, "a": 1, "b": {"c": 0}}', [0]],
    ['the same key in different objects', '{"a": {"a": 1}, "b": {"a": 2, "c": 1}}', []],
    ['a dotted key beside its nesting', '{"a": 1, "b": {"c": 1}, "b.c": 2}', [0]],
    ['numbers in other words', '{"n": 15e-1}', [1]],
    ['numbers of 15 digits', '{"n": 123456789012345}', [1]],
    ['negative numbers', '{"n": -20.0}', [1]],
    ['a text that ends at four bytes', '{"t": "xxxx", "a": 1, "b.c": null}', [0]],
    ['a lone surrogate', '{"t": "\\ud800"}', [2]],
    ['the replacement character', '{"t": "\ufffd"}', [2]],
    ['text beyond ASCII', '{"t": "é"}', [2]],
    ['a plain value', '5', []],
  ])('reads itself: %s', (_what, text, wanted) => {
    expect(wants.matchJson(attributes, Buffer.from(text))).toEqual(wanted)
  })

  test('attributes are matched beside it', () => {
    const matcher = new Matcher([
      [
        'header',
        {
          source_id: 'forge',
          pattern: compilePattern({
            headers: { 'x-a': ['b'] },
            type: ['push'],
            subject: [null],
            timestamp: [5],
          }),
          target: 1,
        },
      ],
      ['other source', { source_id: 'other', pattern: compilePattern({ type: ['push'] }), target: 2 }],
    ])
    expect(matcher.matchJson(attributes, Buffer.from('{}'))).toEqual([1])
    expect(matcher.match({ ...attributes, payload: {} })).toEqual([1])
  })
})

describe('after any history', () => {
  const step = fc.record({
    id: fc.nat(9),
    pattern: fc.option(anyPattern, { freq: 3 }),
    source: fc.constantFrom(null, 'forge', 'other'),
    event: anyEvent,
  })

  test(`the index answers as one that is built anew, and as the judge`, () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), steps => {
        const grown = new Matcher<number>()
        const present = new Map<number, { pattern: Pattern; source: string | null }>()
        for (const { id, pattern, source, event } of steps) {
          const known = pattern === null ? undefined : compiled({ payload: pattern })
          if (known === undefined) {
            grown.delete(String(id))
            present.delete(id)
          } else {
            grown.put(String(id), { source_id: source, pattern: known, target: id })
            present.set(id, { pattern: pattern!, source })
          }
          const fresh = new Matcher(
            [...present].map(([target, each]) => [
              String(target),
              { source_id: each.source, pattern: compilePattern({ payload: each.pattern }), target },
            ]),
          )
          const body = Buffer.from(JSON.stringify(event))
          const found = ascending(grown.matchJson(attributes, body)!)
          expect(found).toEqual(ascending(fresh.matchJson(attributes, body)!))
          const wanted = [...present]
            .filter(
              ([, each]) =>
                each.source !== 'other' && referenceMatches({ payload: each.pattern }, { payload: event }),
            )
            .map(([target]) => target)
          expect(found).toEqual(ascending(wanted))
        }
      }),
      { numRuns: pairs / 40 },
    )
  })

  test('control: an index that forgets to take a trigger out is found out', () => {
    const careless = new Matcher<number>()
    careless.put('a', { source_id: null, pattern: compilePattern({ type: ['push'] }), target: 1 })
    careless.put('b', { source_id: null, pattern: compilePattern({ type: ['push'] }), target: 2 })
    expect(careless.match({ ...attributes, payload: {} })).toEqual([1, 2])
    careless.delete('a')
    expect(careless.match({ ...attributes, payload: {} })).toEqual([2])
  })

  test('what a filter says twice is put in and taken out once', () => {
    const matcher = new Matcher<number>()
    const put = (id: string, list: unknown[]): void =>
      matcher.put(id, {
        source_id: null,
        pattern: compilePattern({ payload: { a: list } }),
        target: Number(id),
      })
    const doubles: [unknown[], unknown, unknown][] = [
      [['x', 'x'], 'x', 'y'],
      [[1, 1.0], 1, 2],
      [['x', { wildcard: 'x' }], 'x', 'y'],
      [[{ 'equals-ignore-case': 'Bug' }, { 'equals-ignore-case': 'bug' }], 'BUG', 'x'],
      [[{ numeric: ['=', 5] }, { numeric: ['>=', 5, '<=', 5] }], 5, 6],
      [[{ cidr: '10.0.0.0/8' }, { cidr: '10.1.0.0/8' }], '10.9.9.9', '11.0.0.1'],
      [[{ prefix: 'abc' }, { prefix: 'abc' }, { suffix: 'abc' }], 'abcabc', 'x'],
      [
        [{ wildcard: 'abc*1' }, { wildcard: 'abc*2' }, { wildcard: '*q*' }, { wildcard: '*q*' }],
        'abc_2',
        'x',
      ],
    ]
    for (const [list, hit, other] of doubles) {
      put('1', list)
      put('2', [list[0], other])
      matcher.delete('1')
      expect(matcher.match({ ...attributes, payload: { a: hit } }).includes(2), JSON.stringify(list)).toBe(
        matcher.match({ ...attributes, payload: { a: hit } }).length > 0,
      )
      put('2', [...list, other])
      put('1', list)
      matcher.delete('1')
      expect(matcher.match({ ...attributes, payload: { a: hit } }), JSON.stringify(list)).toEqual([2])
      matcher.delete('2')
      expect(matcher.match({ ...attributes, payload: { a: hit } })).toEqual([])
    }
  })

  test('an event that is over holds nothing in the index', () => {
    const matcher = new Matcher<number>()
    matcher.put('1', {
      source_id: null,
      pattern: compilePattern({ payload: { a: [{ prefix: 'x' }] } }),
      target: 1,
    })
    const held = new WeakRef({ big: 'x'.repeat(100) })
    matcher.match({ ...attributes, payload: { a: [held.deref()!.big] } })
    expect(matcher.matchRead(attributes)).toEqual([])
  })

  test('thousands of changes leave nothing behind, and the short lists are built in', () => {
    const matcher = new Matcher<number>()
    const filter = (index: number): Pattern => ({
      payload: {
        [`p${index % 7}`]: [
          { wildcard: `*x${index}*y*` },
          { numeric: ['>', index, '<', index + 2] },
          { prefix: `p${index}` },
          { cidr: `10.0.${index % 256}.0/24` },
          `v${index}`,
        ],
      },
    })
    const put = (index: number): void =>
      matcher.put(String(index), { source_id: null, pattern: compilePattern(filter(index)), target: index })
    const found = (index: number, value: unknown): number[] =>
      matcher.matchJson(attributes, Buffer.from(JSON.stringify({ [`p${index % 7}`]: value })))!
    for (let index = 0; index < 2000; index++) put(index)
    for (const index of [0, 1, 777, 1999]) {
      expect(found(index, `ax${index}byc`)).toContain(index)
      expect(found(index, index + 1)).toEqual([index])
      expect(found(index, `v${index}`)).toEqual([index])
      expect(found(index, `p${index}.`)).toContain(index)
    }
    for (let index = 0; index < 2000; index++) if (index !== 777) matcher.delete(String(index))
    expect(found(777, 'ax777byc')).toEqual([777])
    expect(found(777, 778)).toEqual([777])
    expect(found(770, 'ax770byc')).toEqual([])
    expect(found(770, 771)).toEqual([])
    matcher.delete('777')
    expect(found(777, 'ax777byc')).toEqual([])
    put(5)
    expect(found(5, 6)).toEqual([5])
  })

  // Each set is put until it is refused; how many are taken is what the limit says.
  test.each([
    [
      'texts between stars',
      () => ({ a: [{ wildcard: `${'*a'.repeat(15)}*` }] }),
      indexLimits.searched / 15,
      /20000 texts between the stars of wildcards; this would make them 20010/,
    ],
    [
      'lengths of such texts',
      index => ({ a: [{ wildcard: `*${'a'.repeat(index + 1)}*` }] }),
      indexLimits.lengths,
      /payload.a may search for texts of 64 different lengths; this would make them 65/,
    ],
    [
      'lengths in one filter',
      index => ({
        $or: [
          { a: [{ wildcard: `*${'a'.repeat(2 * index + 1)}*` }] },
          { a: [{ wildcard: `*${'a'.repeat(2 * index + 2)}*` }] },
        ],
      }),
      indexLimits.lengths / 2,
      /64 different lengths; this would make them 66/,
    ],
    [
      'conditions that nothing narrows down',
      index => ({ a: [{ 'anything-but': index }] }),
      indexLimits.open_conditions,
      /16000 different conditions .*; this would make them 16001/,
    ],
    [
      'such conditions inside anything-but',
      index => ({
        a: [{ 'anything-but': { prefix: Array.from({ length: 100 }, (_, at) => `${index} ${at}`) } }],
      }),
      160,
      /16000 different conditions/,
    ],
    [
      'ways that nothing narrows down',
      () => ({ a: [{ exists: true }] }),
      indexLimits.open,
      /30000 ways to match .*; this would make them 30001/,
    ],
    [
      'those who ask for one value',
      () => ({ a: ['x'] }),
      indexLimits.reach,
      /16000 conditions behind single values, .*; this would make them 16001/,
    ],
    [
      'those who ask for one value among others',
      index => ({ a: ['x', index], b: [1] }),
      20_000,
      /16000 different conditions/,
    ],
    [
      'those who ask for values at many paths',
      index => ({ [`p${Math.floor(index / 100)}`]: ['x'] }),
      indexLimits.reach,
      /16000 conditions behind single values/,
    ],
    [
      'beginnings of each other',
      index => ({ a: [{ prefix: 'x'.repeat(3 + (index % 4000)) }], b: [{ 'anything-but': index }] }),
      64 + indexLimits.open_conditions,
      /16000 different conditions/,
    ],
    [
      'beginnings and endings of each other',
      index => ({
        a: [{ wildcard: `${'x'.repeat(3 + (index % 200))}*${'y'.repeat(3 + Math.floor(index / 200))}` }],
      }),
      64 + indexLimits.open_conditions,
      /16000 different conditions/,
    ],
  ] as [string, (index: number) => Pattern, number, RegExp][])(
    'all triggers together have limits, of any source or of one: %s',
    (_what, filter, taken, refusal) => {
      for (const source_id of [null, 'forge']) {
        const matcher = new Matcher<number>()
        const pattern = (index: number): CompiledPattern => compilePattern({ payload: filter(index) })
        let count = 0
        while (matcher.exceeded({ source_id, pattern: pattern(count) }) === undefined && count < 100_000) {
          matcher.put(String(count), { source_id, pattern: pattern(count), target: count })
          count++
        }
        expect(count).toBeLessThanOrEqual(Math.floor(taken))
        expect(count).toBeGreaterThan(taken / 20)
        expect(matcher.exceeded({ source_id, pattern: pattern(count) })).toMatch(
          source_id === null ? refusal : /all triggers together may have|different lengths/,
        )
        matcher.delete(String(count - 1))
        expect(matcher.exceeded({ source_id, pattern: pattern(count - 1) })).toBeUndefined()
      }
    },
  )

  test('a trigger that is changed again and again leaves the counts as they were', () => {
    const matcher = new Matcher<number>()
    const filters = [
      { a: ['x'], b: [{ exists: true }] },
      { b: [{ exists: true }] },
      { a: ['x', 'y'] },
      { a: [{ wildcard: '*abc*' }, { prefix: 'abc' }] },
    ].map(payload => compilePattern({ payload }))
    for (let round = 0; round < 40_000; round++)
      matcher.put(String(round % 3), {
        source_id: null,
        pattern: filters[round % filters.length]!,
        target: 0,
      })
    for (const pattern of filters) expect(matcher.exceeded({ source_id: null, pattern })).toBeUndefined()
  })
})

const letters = fc.stringMatching(/^[ab]{0,12}$/)

describe('parts of the index', () => {
  test('wildcards: one pass finds what trying one by one finds', () => {
    const patterns = fc.array(
      fc
        .array(fc.stringMatching(/^[ab]{1,3}$/), { minLength: 1, maxLength: 4 })
        .chain(middle =>
          fc.tuple(fc.stringMatching(/^[ab]{0,2}$/), fc.constant(middle), fc.stringMatching(/^[ab]{0,2}$/)),
        ),
      { maxLength: 100, size: 'max' },
    )
    fc.assert(
      fc.property(patterns, fc.array(letters, { maxLength: 5 }), fc.nat(100), (given, texts, gone) => {
        const all = given.map(([first, middle, last]) => [first, ...middle, last])
        const wildcards = new Wildcards<number>()
        for (const [index, pieces] of all.entries()) wildcards.add(pieces, index)
        wildcards.removeAll(gone)
        for (const text of texts) {
          const found: number[] = []
          wildcards.visit(text, value => void found.push(value))
          expect(ascending(found)).toEqual(
            all.flatMap((pieces, index) => (index !== gone && wildcardHolds(pieces, text) ? [index] : [])),
          )
        }
      }),
      { numRuns: 1000 },
    )
    expect(searched(['a', 'b', 'c', ''])).toEqual(['b', 'c'])
  })

  test('ranges: the tree finds what trying one by one finds', () => {
    const ends = fc.constantFrom(-Infinity, -3, 0, 1, 2, 2.5, 7, Infinity)
    fc.assert(
      fc.property(
        fc.array(fc.tuple(ends, ends), { maxLength: 150, size: 'max' }),
        ends,
        fc.nat(100),
        (given, number, gone) => {
          const ranges = new Ranges<number>()
          const all = given.map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
          const find = (): number[] => {
            const found: number[] = []
            ranges.visit(number, number, value => void found.push(value))
            return ascending(found)
          }
          const wanted = (but: number): number[] =>
            all.flatMap(([low, high], index) =>
              index !== but && low <= number && number <= high ? [index] : [],
            )
          for (const [index, [low, high]] of all.entries()) ranges.add(low, high, index)
          expect(find()).toEqual(wanted(-1))
          ranges.removeAll(gone)
          expect(find()).toEqual(wanted(gone))
          if (gone < all.length) ranges.add(...all[gone]!, gone)
          expect(find()).toEqual(wanted(-1))
        },
      ),
      { numRuns: 1000 },
    )
  })

  test('open ends of ranges are the doubles next to them', () => {
    const matches = (numeric: unknown[], value: number): boolean =>
      new Matcher([
        ['one', { source_id: null, pattern: compilePattern({ payload: { a: [{ numeric }] } }), target: 1 }],
      ]).match({
        ...attributes,
        payload: { a: value },
      }).length > 0
    fc.assert(
      fc.property(
        fc.oneof(
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          fc.constantFrom(0, -0, 5e-324, -5e-324, Number.MAX_VALUE),
        ),
        fc.double({ noNaN: true }),
        (bound, other) => {
          for (const value of [bound, other, -bound]) {
            expect(matches(['>', bound], value)).toBe(value > bound)
            expect(matches(['<', bound], value)).toBe(value < bound)
            expect(matches(['>=', bound], value)).toBe(value >= bound)
            expect(matches(['<=', bound], value)).toBe(value <= bound)
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  test('folding keeps lengths, so that ends of texts are ends of folded texts', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        expect(folded(text).length).toBe(text.length)
      }),
      { numRuns: 2000 },
    )
  })
})
