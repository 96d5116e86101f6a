// Made-up patterns and events that meet often enough to prove something.
import { size } from '../faults/report.ts'
import fc from 'fast-check'

// Few keys and values, so that patterns and events meet.
const key = fc.constantFrom('a', 'b', 'c', 'a.b', 'z', '', 'b-c')
const word = fc.constantFrom(
  '',
  'x',
  'xy',
  'xyx',
  'X',
  'ß',
  'ẞ',
  'K',
  'k',
  '😀',
  'a*b',
  'a\\b',
  '1',
  '10.0.0.1',
  '10.9.9.9',
)
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown }
/** Numbers that a double cannot hold, beside those that it takes for them, and other spellings. */
const written = [
  '9007199254740993',
  '9007199254740992',
  '9007199254740992.5',
  '5.00',
  '10e-1',
  '1e400',
  '-1e400',
  '1e-400',
  '1.0000000000000001',
  '-3.0e0',
]
const exact = fc.constantFrom(...written).map(text => rawJSON(text))
const number = fc.oneof({ weight: 3, arbitrary: fc.constantFrom<unknown>(0, -0, 1, 1.5, -3, 1e21, 5) }, exact)
const scalar = fc.oneof(word, number, fc.boolean(), fc.constant(null))
const eventValue = fc.letrec(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(key, tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value
export const eventOf = fc.dictionary(key, eventValue, { maxKeys: 4, noNullPrototype: true })

const affixArgument = fc.oneof(
  word,
  word.map(each => ({ 'equals-ignore-case': each })),
)
const textTests = fc.oneof(
  affixArgument.map(prefix => ({ prefix })),
  affixArgument.map(suffix => ({ suffix })),
  word.map(each => ({ 'equals-ignore-case': each })),
  fc
    .constantFrom(
      '*',
      'x*',
      '*x',
      'x*x',
      '*y*',
      '',
      'a\\*b',
      'a\\\\b',
      '*ß',
      'x*y*x',
      '*x*',
      '*y*x*',
      '*xy*x*',
      '*x*x*',
    )
    .map(wildcard => ({ wildcard })),
)
const excluding = fc.oneof(
  fc.array(word, { minLength: 1, maxLength: 3 }),
  fc.array(number, { minLength: 1, maxLength: 3 }),
  word,
  number,
  textTests,
)
/** What may stand in the list of a field, by operator. */
export const alternatives = {
  equals: scalar,
  'operators over texts': textTests,
  'anything-but': excluding.map(each => ({ 'anything-but': each })),
  numeric: fc
    .oneof(
      fc.constantFrom<unknown[]>(
        ['=', 1],
        ['<', 1],
        ['>=', 0],
        ['>', 0, '<=', 1.5],
        ['>', -5, '<', 0],
        ['>', 1, '<', 1.0000000000000002],
      ),
      fc.tuple(fc.constantFrom('=', '<', '<=', '>', '>='), number),
      fc.tuple(fc.constantFrom('>', '>='), number, fc.constantFrom('<', '<='), number),
    )
    .map(numeric => ({ numeric })),
  exists: fc.boolean().map(exists => ({ exists })),
  cidr: fc.constantFrom('10.0.0.0/8', '10.0.0.1/32', '0.0.0.0/0').map(cidr => ({ cidr })),
} as const
const { equals, ...operators } = alternatives
const alternative = fc.oneof(
  { weight: 4, arbitrary: equals },
  ...(Object.values(operators) as fc.Arbitrary<unknown>[]),
)

/** Patterns of one operator. */
export function patternsOf(one: fc.Arbitrary<unknown>): fc.Arbitrary<Record<string, unknown>> {
  return fc.dictionary(key, fc.array(one, { minLength: 1, maxLength: 2 }), {
    minKeys: 1,
    maxKeys: 2,
    noNullPrototype: true,
  })
}

export const patternOf = fc.letrec<{ pattern: Record<string, unknown> }>(tie => ({
  pattern: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.dictionary(key, fc.array(alternative, { minLength: 1, maxLength: 3 }), {
      minKeys: 1,
      maxKeys: 3,
      noNullPrototype: true,
    }),
    fc.dictionary(key, fc.oneof(fc.array(alternative, { minLength: 1, maxLength: 2 }), tie('pattern')), {
      minKeys: 1,
      maxKeys: 3,
      noNullPrototype: true,
    }),
    fc.tuple(key, fc.array(tie('pattern'), { minLength: 2, maxLength: 3 })).map(([, $or]) => ({ $or })),
  ),
})).pattern

// Objects in arrays, with so few values that consistency decides.
const bit = fc.constantFrom(0, 1)
/** odd: with values beside arrays on one path, in lists of values and objects or by dotted keys. */
function nested(odd: boolean): fc.Arbitrary<unknown> {
  return fc.letrec(tie => ({
    object: fc.record(
      {
        b: fc.oneof(bit, fc.array(bit, { maxLength: 2 }), tie('list')),
        c: fc.oneof(bit, tie('list')),
        d: bit,
        z: bit,
        ...(odd
          ? { 'b.d': fc.oneof({ weight: 9, arbitrary: bit }, { weight: 1, arbitrary: tie('list') }) }
          : {}),
      },
      { requiredKeys: [], noNullPrototype: true },
    ),
    list: fc.oneof(
      { maxDepth: 3 },
      bit,
      fc.array(tie('object'), { minLength: 1, maxLength: 3 }),
      fc.array(odd ? fc.oneof(bit, tie('object'), tie('list')) : tie('object'), {
        minLength: 1,
        maxLength: 3,
      }),
    ),
  })).list
}
const inner = fc.oneof({ weight: 2, arbitrary: nested(false) }, { weight: 1, arbitrary: nested(true) })
export const nestedEvent = fc.record({ a: inner, q: inner }, { requiredKeys: ['a'], noNullPrototype: true })
const path = fc.constantFrom(
  'a.b',
  'a.c',
  'a.d',
  'a.z',
  'a.b.b',
  'a.b.c',
  'a.b.d',
  'a.c.b',
  'a.c.d',
  'a',
  'q.b',
  'q.c',
  'q.d',
  'q.b.d',
)
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
export const nestedPattern = fc.dictionary(path, nestedTest, {
  minKeys: 1,
  maxKeys: 4,
  noNullPrototype: true,
})
// JSON texts as nobody should write them: doubled keys at any depth, dotted keys beside the nesting that they name,
// escaped keys, all in any order.
const oddKey = fc.constantFrom('a', 'b', 'c', 'a.b', 'b.c', 'a.b.c', 'c.a', '', 'a.')
const oddValue = fc.letrec<{ value: string; object: string }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'medium' },
    fc.constantFrom('0', '1', '2', '"x"', 'null', '9007199254740993', '9007199254740992'),
    tie('object'),
    tie('object'),
    fc.array(tie('value'), { maxLength: 3 }).map(items => `[${items.join(',')}]`),
  ),
  object: fc.oneof(
    fc.array(fc.tuple(oddKey, fc.boolean(), tie('value')), { maxLength: 4 }).map(oddObject),
    // A dotted key twice, around what is nested.
    fc.tuple(fc.boolean(), tie('value'), tie('value'), tie('value')).map(([escaped, first, inner, last]) =>
      oddObject([
        ['a.b', false, first],
        ['a', false, `{"b":${inner}}`],
        ['a.b', escaped, last],
      ]),
    ),
  ),
})).object
function escapedKey(name: string): string {
  return `"${name.replaceAll(/./g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)}"`
}
function oddObject(members: readonly (readonly [name: string, escaped: boolean, value: string])[]): string {
  return `{${members.map(([name, escaped, value]) => `${escaped ? escapedKey(name) : JSON.stringify(name)}:${value}`).join(', ')}}`
}
export const oddText = oddValue
const oddTest = fc.constantFrom<unknown[]>(
  [0],
  [1],
  [1, 2],
  ['x'],
  [{ 'anything-but': [0, 2] }],
  [{ exists: false }],
  [{ exists: true }],
  [{ exists: false }, 1],
  [rawJSON('9007199254740993')],
  [{ 'anything-but': [rawJSON('9007199254740993'), 1] }],
  [{ numeric: ['>', rawJSON('9007199254740992')] }],
)
export const oddPattern = fc.dictionary(
  fc.constantFrom('a', 'b', 'c', 'a.b', 'b.c', 'a.b.c', 'c.a', 'a.c', '', 'a.', 'a.a', 'a.b.b'),
  oddTest,
  {
    minKeys: 1,
    maxKeys: 3,
    noNullPrototype: true,
  },
)
// Arrays of more values than are looked at one by one.
const manyKey = fc.constantFrom('x', 'y', 'z')
export const manyEvent = fc.record({
  c: fc.array(
    fc.dictionary(
      manyKey,
      fc.oneof(
        { weight: 5, arbitrary: scalar },
        { weight: 1, arbitrary: fc.array(scalar, { maxLength: 2 }) },
      ),
      { noNullPrototype: true },
    ),
    {
      minLength: 24,
      maxLength: 30,
    },
  ),
  s: fc.array(scalar, { minLength: 17, maxLength: 30 }),
})
export const manyPattern = fc.dictionary(
  fc.constantFrom('c.x', 'c.y', 'c.z', 's'),
  fc.array(fc.oneof(alternative, fc.constant({ exists: false })), { minLength: 1, maxLength: 3 }),
  { minKeys: 1, maxKeys: 4, noNullPrototype: true },
)
// One number, and filters that ask about numbers.
export const numberEvent = fc.record({ n: number })
export const numberPattern = fc.record({
  n: fc.array(
    fc.oneof(
      number,
      alternatives.numeric,
      number.map(each => ({ 'anything-but': each })),
    ),
    { minLength: 1, maxLength: 2 },
  ),
})
export const anyPair = fc.oneof(fc.tuple(patternOf, eventOf), fc.tuple(nestedPattern, nestedEvent))

/** How many pairs a property is tried on, a multiple of 40: SIGNALBOX_PAIRS=1000000 for as many as there is time for. */
export const pairs = size('SIGNALBOX_PAIRS', 5000, 20_000)
