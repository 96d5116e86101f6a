// The register of docs/promises.md: every promise and threat once, and every test that it names exists.
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const register = readFileSync('docs/promises.md', 'utf8')
const numbers = [
  ...Array.from({ length: 75 }, (_, index) => `P${index + 1}`),
  ...Array.from({ length: 62 }, (_, index) => `T${index + 1}`),
]

/** Whether code has a title as a whole literal, as it is written; those of test.each, describe and rows of tables, too. */
function hasTitle(code: string, title: string): boolean {
  const read = code.replaceAll(/^\s*(\/\/|\*|\/\*).*$/gm, '')
  return [`'${title}'`, `"${title}"`, `\`${title}\``].some(literal => read.includes(literal))
}

/** What is wrong with a register. */
function wrongs(text: string): string[] {
  const rows = [...text.matchAll(/^\| ([PT]\d+) \| ([^|]*) \| (.*) \|$/gm)]
  const found = rows.map(([, number]) => number!)
  return [
    ...numbers.flatMap(number => {
      const times = found.filter(each => each === number).length
      return times === 1 ? [] : [`${number} is there ${times} times`]
    }),
    ...found.filter(number => !numbers.includes(number)).map(number => `${number} is unknown`),
    ...rows.flatMap(([, number, words, proof]) => {
      const tests = [...proof!.matchAll(/`(test\/[^`]+)`: `([^`]+)`/g)]
      if (words!.trim() === '') return [`${number} says nothing`]
      if (tests.length === 0 && !/^Not yet: \S/.test(proof!)) return [`${number} names no test and no reason`]
      return tests.flatMap(([, file, title]) =>
        existsSync(file!) && hasTitle(readFileSync(file!, 'utf8'), title!)
          ? []
          : [`${number}: ${file} has no test "${title}"`],
      )
    }),
  ]
}

describe('the register of promises and threats', () => {
  test('has every number once, with tests that exist or a reason', () => {
    expect(wrongs(register)).toEqual([])
  })

  // Each differs from the register in one thing.
  const row = /^\| P1 \|.*$/m.exec(register)![0]
  test.each([
    ['a missing number', '', ['P1 is there 0 times']],
    ['a number twice', `${row}\n${row}`, ['P1 is there 2 times']],
    ['an unknown number', `${row}\n${row.replace('| P1 |', '| P76 |')}`, ['P76 is unknown']],
    ['no words', '| P1 |  | Not yet: a reason |', ['P1 says nothing']],
    ['no reason', '| P1 | words | Not yet: |', ['P1 names no test and no reason']],
    [
      'a missing file',
      '| P1 | words | `test/none.test.ts`: `x` |',
      ['P1: test/none.test.ts has no test "x"'],
    ],
    [
      'a part of a title',
      '| P1 | words | `test/orphan.test.ts`: `ends although it computes without end` |',
      ['P1: test/orphan.test.ts has no test "ends although it computes without end"'],
    ],
  ])('control: %s is found', (_name, instead, expected) => {
    expect(wrongs(register.replace(row, () => instead))).toEqual(expected)
  })

  test('control: a title that is only in a comment is found', () => {
    expect(hasTitle("test('a title', () => {", 'a title')).toBe(true)
    expect(hasTitle("  // test('a title', () => {", 'a title')).toBe(false)
  })
})
