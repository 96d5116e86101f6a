// Numbers that keep their digits, held against the sources that a reviver of JSON.parse is given.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ExactNumber, readExactNumbers } from '../src/client/client.ts'
import { compileContract } from '../src/contract/validators.ts'
import {
  bothJson,
  canonicalJson,
  exactJson,
  fromThread,
  isRaw,
  plainJson,
  toThread,
} from '../src/exact-json.ts'
import { renderKey, renderText } from '../src/routing/inputs.ts'
import { payloadOf } from '../src/routing/payload.ts'
import type { BodyFormat } from '../src/store/store.ts'
import { exactly, oddJson, oddNumbers, written } from './support/exact-numbers.ts'

/** Whether reading and writing keeps every number of random texts. */
function keeps(read: (text: string) => unknown): void {
  fc.assert(
    fc.property(oddJson, text => {
      expect(JSON.stringify(read(text))).toBe(written(text))
    }),
    { numRuns: 3000 },
  )
}

describe('reading and writing', () => {
  test('keeps the text of every number', () => keeps(exactJson))

  test('control: JSON.parse does not', () => {
    expect(() => keeps(JSON.parse)).toThrow()
  })

  test('other JSON is what JSON.parse makes of it', () => {
    fc.assert(
      fc.property(fc.json(), text => {
        expect(exactJson(text)).toStrictEqual(JSON.parse(text))
      }),
      { numRuns: 1000 },
    )
  })

  test.each(['', '{', '01', '1.', '[1.0', '{"a":1.0,}', '1.0 2', '-', '[1.0]x'])(
    '%j is refused as by JSON.parse',
    text => {
      expect(() => exactJson(text)).toThrow(SyntaxError)
    },
  )

  test('both ways at once: with doubles and exact', () => {
    fc.assert(
      fc.property(oddJson, text => {
        const { plain, exact } = bothJson(text)
        expect(plain).toStrictEqual(JSON.parse(text))
        expect(JSON.stringify(exact)).toBe(written(text))
        expect(plainJson(exact)).toStrictEqual(plain)
      }),
    )
  })
})

describe('other threads', () => {
  test('get every number with its digits', () => {
    fc.assert(
      fc.property(oddJson, text => {
        const sent = { definition: exactJson(text) }
        expect(JSON.stringify(fromThread(structuredClone(toThread(sent))))).toBe(
          `{"definition":${written(text)}}`,
        )
      }),
    )
  })

  test('control: structured clone alone refuses them', () => {
    expect(() => structuredClone(exactJson('10.00'))).toThrow('could not be cloned')
  })
})

describe('keys and texts', () => {
  const of = (number: string): object => ({ payload: exactJson(`{"id":${number}}`) })

  test.each([
    ['10', '10'],
    ['10.00', '10'],
    ['1e1', '10'],
    ['-0', '0'],
    ['813683310949021977', '813683310949021977'],
    ['813683310949021978', '813683310949021978'],
    ['8136833109490219.77e2', '813683310949021977'],
    ['1e400', '1e+400'],
    ['[{"n":2.50}]', '[{"n":2.5}]'],
  ])('%s is the key %s', (number, key) => {
    expect(renderKey('{{ payload.id }}', of(number))).toBe(key)
    expect(renderKey('x-{{ payload.id }}', of(number))).toBe(`x-${key}`)
  })

  test('keys of ordinary numbers are those of JavaScript', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), value => {
        expect(renderKey('{{ n }}', { n: value })).toBe(JSON.stringify(value))
      }),
    )
  })

  test('inside text a number is what stands in the event', () => {
    fc.assert(
      fc.property(oddNumbers, number => {
        expect(renderText('id {{ payload.id }}', of(number))).toBe(`id ${number}`)
      }),
    )
  })

  test('no path leads into a number', () => {
    expect(renderText('{{ payload.id.rawJSON }}', of('10.00'))).toBe('')
  })

  test('values that differ in spelling only are equal', () => {
    expect(canonicalJson(exactJson('[10.00, 1e400, -0]'))).toStrictEqual(
      canonicalJson(exactJson('[1e1, 10e399, 0]')),
    )
  })
})

describe('the client', () => {
  test('numbers that no double holds carry their text', () => {
    const read = readExactNumbers('{"id":813683310949021977,"price":10.00}') as {
      id: ExactNumber
      price: number
    }
    expect(read).toStrictEqual({ id: new ExactNumber('813683310949021977'), price: 10 })
    expect(`${String(read.id)} ${BigInt(read.id.text)}`).toBe('813683310949021977 813683310949021977')
    expect(JSON.stringify(read)).toBe('{"id":813683310949021977,"price":10}')
  })

  test.each(['', '1.', '"1"', '01', '1 ', 'NaN', '{}'])('%j is no exact number', text => {
    expect(() => new ExactNumber(text)).toThrow(SyntaxError)
  })
})

test.each([
  ['json', (json: string) => json],
  ['form', (json: string) => new URLSearchParams({ payload: json }).toString()],
  ['cloudevent', (json: string) => `{"specversion":"1.0","data":${json}}`],
] as [BodyFormat, (json: string) => string][])('a payload of format %s keeps digits', (format, bodyOf) => {
  const json = `{"id":813683310949021977,"price":10.00}`
  expect(JSON.stringify(payloadOf(format, Buffer.from(bodyOf(json))))).toBe(json)
})

test('params are doubles where the contract asks for numbers', () => {
  const text = `{"trigger":{"id":"t","filter":{"a":[10.00]},"action":{"bot_id":"b","inputs":{"n":10.00}},
    "policy":{"retry":[1e3,2000.0],"timeout_ms":9e5,"priority":-0,"batch":{"max":10.0,"timeout_ms":1E3}}},"version":1.0}`
  const { plain, exact } = bothJson(text)
  const checked = compileContract().get('trigger.put')!.validateParams(plain, exact)
  expect(checked).toMatchObject({ ok: true })
  expect(JSON.stringify((checked as { value: unknown }).value)).toBe(
    '{"trigger":{"id":"t","filter":{"a":[10.00]},"action":{"bot_id":"b","inputs":{"n":10.00}},"policy":{"retry":[1000,2000],"timeout_ms":900000,"priority":0,"batch":{"max":10,"timeout_ms":1000}}},"version":1}',
  )
})

function took(work: () => unknown): number {
  const begun = performance.now()
  for (let count = 0; count < 5; count++) work()
  return performance.now() - begun
}

const mostTries = 400

/**
 * How many times as long work takes as floor, by the least of tries that take turns: until it is less than enough, for on a busy machine
 * it is long before the compiler has its turn.
 */
function ratio(work: () => unknown, floor: () => unknown, enough: number): number {
  let [least, leastFloor] = [Infinity, Infinity]
  for (let tries = 0; tries < mostTries; tries++) {
    least = Math.min(least, took(work))
    leastFloor = Math.min(leastFloor, took(floor))
    if (tries > 10 && least < enough * leastFloor) break
  }
  return least / leastFloor
}

describe('what it costs', () => {
  test('of ordinary JSON little more than JSON.parse', () => {
    const text = JSON.stringify(
      Array.from({ length: 500 }, (_, index) => ({
        id: index,
        at: '2026-01-31T12:00:45.120Z',
        name: `user ${index}`,
        ratio: index / 7,
        sha: '3e5d'.repeat(10),
      })),
    )
    const parse = (): unknown => JSON.parse(text)
    expect(ratio(() => exactJson(text), parse, 3)).toBeLessThan(3)
  })

  test.each([
    ['a million digits', `[${'7'.repeat(1_000_000)}]`],
    ['an exponent of a million digits', `[1e${'7'.repeat(1_000_000)}]`],
    ['a million zeros', `[0.${'0'.repeat(1_000_000)}1]`],
  ])('%s: some readings of that text', (_name, text) => {
    const render = (): unknown => renderKey('{{ n }}', { n: (exactJson(text) as unknown[])[0] })
    expect(ratio(render, () => text.replaceAll(/\d/g, '').length, 10)).toBeLessThan(10)
  })
})

test('the oracle knows a number that keeps its digits', () => {
  expect(isRaw(exactly('10.00'))).toBe(true)
  expect(written(' [10.00, 1, {"a":1,"a":2.0}]')).toBe('[10.00,1,{"a":2.0}]')
})
