// Secrets in output that comes in chunks: whatever the chunks, none is seen, and nothing else is lost.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hiddenText, StreamRedactor } from '../src/redaction.ts'

/** Few letters, so that secrets overlap one another and themselves. */
const letters = fc.constantFrom('a', 'b', 'c')
const secretTexts = fc.array(fc.string({ unit: letters, minLength: 8, maxLength: 12 }), {
  minLength: 1,
  maxLength: 3,
})
const pieces = (secrets: string[]): fc.Arbitrary<string[]> =>
  fc.array(
    fc.oneof(fc.string({ unit: letters, maxLength: 20 }), fc.constantFrom(...secrets, '\n', 'é', 'x')),
    { maxLength: 12 },
  )

function redactorOf(secrets: readonly string[]): StreamRedactor {
  const values = secrets.map(secret => Buffer.from(secret))
  return new StreamRedactor(() => values)
}

/** The text through a redactor, in chunks of these lengths over and over. */
function redacted(text: string, secrets: readonly string[], lengths: readonly number[]): string {
  const redactor = redactorOf(secrets)
  const bytes = Buffer.from(text)
  const shown: Buffer[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length]!
    shown.push(redactor.push(bytes.subarray(at, at + length)))
    at += length
  }
  return Buffer.concat([...shown, redactor.end()]).toString('utf8')
}

describe('a stream without its secrets', () => {
  test('is the same whatever the chunks, and has none of them', () => {
    fc.assert(
      fc.property(
        secretTexts.chain(secrets => fc.tuple(fc.constant(secrets), pieces(secrets))),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
        ([secrets, texts], lengths) => {
          const text = texts.join('')
          const shown = redacted(text, secrets, lengths)
          for (const secret of secrets) expect(shown).not.toContain(secret)
          // What is no secret is there, in order.
          if (!secrets.some(secret => text.includes(secret)) && !shown.endsWith(hiddenText))
            expect(shown).toBe(text)
        },
      ),
      { numRuns: 500 },
    )
  })

  test('has no token of the router, although it is known by its form alone', () => {
    const tokens = [
      ...['adm', 'api', 'wrk', 'mcp', 'ses'].map(kind => `sbx_${kind}_${'k3JdP0aZ'.repeat(5)}abcdef`),
      `sbx_run_${'0123456789abcdef'.repeat(4)}`,
    ]
    const near = [
      'sbx_',
      'sbx_xyz_',
      `sbx_adm_${'a'.repeat(45)} `,
      `sbx_adm_${'a'.repeat(47)}`,
      's',
      'sb',
      ' ',
      '\n',
      'é',
    ]
    const parts = fc.array(fc.constantFrom(...tokens.map(each => `${each} `), ...near), { maxLength: 8 })
    fc.assert(
      fc.property(
        parts,
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 4 }),
        (texts, lengths) => {
          const shown = redacted(texts.join(''), [], lengths)
          for (const token of tokens) expect(shown).not.toContain(token.slice(16))
          // Whatever the chunks, it is the same.
          expect(shown).toBe(redacted(texts.join(''), [], [10_000]))
          if (!texts.some(text => text.endsWith('abcdef ')) && !/sbx_adm_a{24,}$/.test(texts.join('')))
            expect(shown).toBe(texts.join(''))
        },
      ),
      { numRuns: 1000 },
    )
    // One whose end never came is hidden, and what only begins like one is not.
    expect(redacted(`token ${tokens[0]!.slice(0, 40)}`, [], [7])).toBe('token ***')
    expect(redacted('cats', [], [3])).toBe('cats')
  })

  test('control: chunks that are redacted one by one show a secret that is split', () => {
    const whole = redactorOf(['canary-0123456789'])
    const [first, second] = ['token canary-01', '23456789 end'].map(text => Buffer.from(text))
    const apart = [first!, second!].map(chunk => {
      const redactor = redactorOf(['canary-0123456789'])
      return Buffer.concat([redactor.push(chunk), Buffer.from('')]).toString()
    })
    expect(apart[1]).toContain('23456789')
    expect(Buffer.concat([whole.push(first!), whole.push(second!), whole.end()]).toString()).toBe(
      'token *** end',
    )
  })

  test('two that overlap are one', () => {
    expect(redacted('<aaaabbbbcccc>', ['aaaabbbb', 'bbbbcccc'], [3])).toBe('<***>')
  })

  test('the beginning of one that never ends is hidden once it says something of it', () => {
    expect(redacted('x canary-0', ['canary-0123456789'], [4])).toBe(`x ${hiddenText}`)
    expect(redacted('x can', ['canary-0123456789'], [4])).toBe('x can')
  })

  test('after a gap, what may be the end of one is left out', () => {
    const redactor = redactorOf(['canary-0123456789'])
    const shown = [
      redactor.push(Buffer.from('a cana')),
      redactor.gap(),
      redactor.push(Buffer.from('123456789')),
      redactor.push(Buffer.from(' and on it goes')),
      redactor.end(),
    ]
    expect(Buffer.concat(shown).toString()).toBe('a cana it goes')
  })

  test('holds no more than it must where one repeats for ever', () => {
    const redactor = redactorOf(['aaaaaaaa'])
    const chunk = Buffer.alloc(65_536, 'a')
    let shown = 0
    for (let count = 0; count < 64; count++) shown += redactor.push(chunk).length
    expect(shown).toBeGreaterThan((63 * 65_536 * 3) / 8)
  })
})
