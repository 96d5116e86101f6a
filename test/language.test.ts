// Phrases that a reader has to decode, and the plain words for them. Checked are the contract, documents, help, the page and the sources' comments.
import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const read = ['schemas/**/*.json', 'docs/**/*.md', 'README.md', 'CHANGELOG.md', 'src/**/*.{ts,tsx,md}']

const phrases: readonly [RegExp, string][] = [
  [/\bunless (said|given)\b/i, 'Default: …'],
  [/\b(anew|once more)\b/i, 'again'],
  [/\bwhoever\b/i, 'the sender, the caller, the user'],
  [/\b(tells? of|told of)\b/i, 'reports'],
  [/(?<!there )\b(is|are) none\b/i, 'does not exist, is invalid, is missing'],
  [/\blet loose\b/i, 'enable'],
  [/\bin earnest\b/i, 'execute'],
  [/\bthe present one\b/i, 'the current version'],
  [/\bwhat hangs on\b/i, 'references'],
  [/\bwhat is whole\b/i, 'undamaged'],
  [/\b(stands?|stood) (in|at|still)\b/i, 'is in, is blocked'],
  [/\b(nobody|somebody)\b/i, 'the sender, a person, no bot, …'],
  [/\bgoes before\b/i, 'takes precedence over'],
  [/\b(has|have|had) in hand\b/i, 'running'],
  [/\bholds? .{0,60}\bagainst\b/i, 'run against, compare with'],
  [/\bnor must\b/i, 'a main clause'],
  [/\b(is|are) absolute; (got|found)/i, 'must be absolute; got …'],
]

const files = read.flatMap(pattern => globSync(pattern)).toSorted()

/** Every line with such a phrase, and what to write. Titles of tests are quoted as they are. */
function found(text: string, name: string): string[] {
  return text
    .replaceAll(/`test\/[^`]+`: `[^`]+`/g, '')
    .split('\n')
    .flatMap((line, index) =>
      phrases.flatMap(([phrase, better]) =>
        phrase.test(line) ? [`${name}:${index + 1}: ${phrase.exec(line)![0]} (write: ${better})`] : [],
      ),
    )
}

test('what people read is in plain words', () => {
  expect(files.length).toBeGreaterThan(100)
  expect(files.flatMap(file => found(readFileSync(file, 'utf8'), file))).toEqual([])
})

test('control: such a phrase is found', () => {
  expect(found('ok\n15,000 unless said.', 'x')).toEqual(['x:2: unless said (write: Default: …)'])
  expect(found('`test/a.test.ts`: `what is none`', 'x')).toEqual([])
  expect(found('`test/a.test.ts` says `what is none`', 'x')).toHaveLength(1)
})
