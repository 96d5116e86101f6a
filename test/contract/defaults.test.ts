// Defaults are keywords of the schemas; descriptions do not repeat them, and code looks them up.
import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** Defaults that depend on something else, which a keyword cannot say. */
const dependent =
  /Default: (all of|the |a |none|no |any |every |unlimited|what|from|null|587|60,000 for|90 days|5 %|above|unreachable|developer|delivery_timeout_ms|command_timeout_ms|bot_max_active|max_body_bytes|\{\{)/

/** Every description that gives a constant as its default. */
function proseDefaults(text: string): string[] {
  return [...text.matchAll(/[Dd]efault(?:: | is | of )[^."]*/g)]
    .map(match => match[0])
    .filter(found => found.startsWith('Default: ') && !dependent.test(found))
}

test('no description gives a constant as a default', () => {
  const files = globSync('schemas/**/*.json')
  expect(files.length).toBeGreaterThan(20)
  expect(
    files.flatMap(file => proseDefaults(readFileSync(file, 'utf8')).map(found => `${file}: ${found}`)),
  ).toEqual([])
})

test('control: such a description is found', () => {
  expect(proseDefaults('"Default: 15,000." "Default: the type of the old one."')).toEqual(['Default: 15,000'])
})
