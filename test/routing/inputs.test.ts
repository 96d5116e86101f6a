// Inputs: templates over events, bounded, with the path of what fails.
import { afterAll, expect, test } from 'vitest'
import jsonata from 'jsonata'
import fc from 'fast-check'
import { ExpressionProcess } from '../../src/routing/expressions.ts'
import { checkTemplate, renderTemplate } from '../../src/routing/inputs.ts'

const expressions = new ExpressionProcess()
afterAll(() => expressions.stop())

const event = {
  type: 'push',
  payload: {
    n: 3,
    flag: true,
    nothing: null,
    name: 'site',
    list: [1, 2],
    deep: { list: [{ a: 1 }, { a: 2 }] },
    text: 'a "b"',
  },
}
const render = (template: unknown): Promise<unknown> => renderTemplate(template, 'inputs', event, expressions)

test.each([
  ['{{ payload.n }}', 3],
  ['{{payload.flag}}', true],
  ['{{ payload.nothing }}', null],
  ['{{ payload.missing.deeper }}', null],
  ['{{ payload.list }}', [1, 2]],
  ['{{ payload.deep }}', { list: [{ a: 1 }, { a: 2 }] }],
  ['n is {{ payload.n }}, {{ payload.flag }}, {{ payload.missing }}.', 'n is 3, true, .'],
  ['list {{ payload.list }}', 'list [1,2]'],
  ['{{ payload.name }}{{ payload.n }}', 'site3'],
  ['{{ payload.deep.list.a }}', [1, 2]],
  ['{{ $sum(payload.list) }}', 3],
  ['{{ payload.n > 2 ? "many" : "few" }}', 'many'],
  ['{{ payload.deep.list[a=2].a }}', 2],
  ['{{ true }}', true],
  ['{{ $uppercase(payload.name) & "!" }}', 'SITE!'],
  ['{{ payload.constructor }}', null],
  ['no braces', 'no braces'],
  [5, 5],
  [
    { a: ['{{ payload.n }}', { b: '{{ type }}' }], c: null },
    { a: [3, { b: 'push' }], c: null },
  ],
] as [unknown, unknown][])('%j', async (template, expected) => {
  expect(await render(template)).toEqual(expected)
})

test.each([
  [{ a: '{{ payload.n' }, 'inputs.a: "{{" without "}}"'],
  [{ a: [{ b: '{{ }}' }] }, 'inputs.a[0].b: an expression was expected'],
  [{ a: '{{ payload. }}' }, 'inputs.a: in {{ payload. }}:'],
  [{ a: '{{ $match(type, /p/) }}' }, 'regular expressions are not allowed'],
  [{ a: '{{ $map(payload.list, $eval) }}' }, '$eval is not allowed'],
])('refused when written: %j', async (template, reason) => {
  await expect(checkTemplate(template, 'inputs', expressions)).rejects.toThrow(reason)
})

test.each([
  [{ a: { b: '{{ $number(payload.name) }}' } }, 'inputs.a.b: in {{ $number(payload.name) }}:'],
  [{ a: '{{ $undefined_function() }}' }, 'inputs.a: in'],
  [{ a: '{{ function($x) { $x } }}' }, 'inputs.a: in'],
])('refused when rendered: %j', async (template, reason) => {
  await expect(render(template)).rejects.toThrow(reason)
})

test.each([
  ['an endless loop', '($f := function($n) { $f($n + 1) }; $f(0))'],
  ['deep recursion', '($f := function($n) { $n = 0 ? 0 : 1 + $f($n - 1) }; $f(100000))'],
  ['a huge range', '$sum([1..9999999].($ * 2))'],
  ['a huge text', '$pad("", 300000000)'],
])('%s is ended, and what comes after still works', async (_name, source) => {
  await expect(render({ a: `{{ ${source} }}` })).rejects.toThrow('inputs.a: in')
  expect(await render('{{ $sum(payload.list) }}')).toBe(3)
})

test('a plain path gives what JSONata gives', async () => {
  const key = fc.constantFrom('a', 'b', 'c')
  const value = fc.letrec(tie => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.integer(),
      fc.string(),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 3, noNullPrototype: true }),
    ),
  })).value
  await fc.assert(
    fc.asyncProperty(
      fc.array(key, { minLength: 1, maxLength: 4 }),
      fc.dictionary(key, value, { noNullPrototype: true }),
      async (path, scope) => {
        const source = path.join('.')
        const wanted: unknown = await jsonata(source).evaluate(scope)
        const got = await renderTemplate(`{{ ${source} }}`, 'x', scope, expressions)
        expect(JSON.stringify(got ?? null)).toBe(JSON.stringify(wanted ?? null))
      },
    ),
    { numRuns: 500 },
  )
})
