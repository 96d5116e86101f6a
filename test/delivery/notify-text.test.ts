// Texts of strangers in messages: bounded, visible, and neither markup nor pings.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { services } from '../../src/delivery/bots/notify-presets.ts'
import {
  batchMessage,
  chatText,
  cut,
  cutMark,
  oneLine,
  safeLink,
  usualMessage,
  visible,
} from '../../src/delivery/bots/notify-text.ts'

const hostile = fc.string({
  unit: fc.oneof(
    fc.constantFrom(
      '<!channel>',
      '<@U1>',
      '@everyone',
      '@all',
      '*',
      '_',
      '`',
      '~',
      '|',
      '](',
      '[',
      '\\',
      '&',
      '<',
      '>',
      '\n',
      '\r',
      '# ',
      '1. ',
      '\u202e',
      '\u200b',
      '😀',
      '\ud800',
    ),
    fc.string({ unit: 'binary', maxLength: 4 }),
  ),
  maxLength: 400,
})

describe('chatText', () => {
  test('leaves neither markup nor pings', () => {
    fc.assert(
      fc.property(hostile, text => {
        const shown = chatText(visible(text))
        expect(shown).not.toMatch(/[<>*`~|\\]/)
        expect(shown).not.toMatch(/@(?!\u200b)/)
        expect(shown).not.toMatch(/\]\(/)
        expect(shown).not.toMatch(/&(?!(?:amp|lt|gt);)/)
        expect(shown).not.toMatch(/^\s*(?:#|\d+\.)/m)
      }),
    )
  })
  test('control: text without such characters is unchanged', () => {
    const text = 'Build 7 of acme/site failed: file my_file.ts, line 3 (exit 1).'
    expect(chatText(visible(text))).toBe(text)
  })
})

describe('cut', () => {
  test('keeps to the limit and marks what is missing', () => {
    fc.assert(
      fc.property(hostile, fc.integer({ min: 10, max: 300 }), (text, most) => {
        for (const size of [
          (each: string): number => each.length,
          (each: string): number => Buffer.byteLength(each),
          (each: string): number => chatText(each).length,
        ]) {
          const whole = visible(text)
          const short = cut(whole, most, size)
          expect(size(short)).toBeLessThanOrEqual(most)
          expect(short.isWellFormed()).toBe(true)
          expect(short === whole || short.endsWith(cutMark)).toBe(true)
          if (size(whole) <= most) expect(short).toBe(whole)
        }
      }),
    )
  })
})

test('a title is one line of visible characters', () => {
  fc.assert(
    fc.property(hostile, text => {
      expect(oneLine(text)).not.toMatch(/[\p{Cc}\p{Cs}\u202e\u200b]/u)
    }),
  )
})

test('every service gets bounded texts, and a body of JSON', () => {
  const base = { kind: 'notify', topic: 'x', room: '!x:y' } as const
  fc.assert(
    fc.property(hostile, fc.nat(60), (text, times) => {
      const message = { title: text, text: text.repeat(times), priority: 3, link: undefined }
      for (const preset of ['ntfy', 'gotify', 'matrix', 'slack'] as const) {
        const { body, headers } = services[preset].request(
          { ...base, preset },
          'https://example.org',
          'token',
          message,
          'id',
        )
        expect(Object.values(headers).join('')).toMatch(/^(Bearer )?(token)?$/)
        expect(JSON.stringify(body).length).toBeLessThan(40_000)
        if (preset === 'slack') expect((body as { text: string }).text.length).toBeLessThanOrEqual(2000)
        if (preset === 'ntfy')
          expect(Buffer.byteLength((body as { message: string }).message)).toBeLessThanOrEqual(4096)
      }
    }),
  )
})

test('matrix: one transaction for a run, another for the next', () => {
  const path = (id: string): string =>
    services.matrix.request(
      { kind: 'notify', preset: 'matrix', room: '!x:y' },
      'https://example.org/base/',
      't',
      { title: 'a', text: 'b', priority: 3, link: undefined },
      id,
    ).url.pathname
  expect(path('1')).toBe(path('1'))
  expect(path('1')).not.toBe(path('2'))
  expect(path('1')).toMatch(/^\/base\/_matrix\//)
})

test.each([
  ['https://example.org/a b?x=<y>&z=@everyone', 'https://example.org/a%20b?x=%3Cy%3E&z=%40everyone'],
  ['javascript:alert(1)', undefined],
  ['https://user:pw@example.org/', undefined],
  ['not a link', undefined],
  ['', undefined],
])('a link: %s', (given, expected) => expect(safeLink(given)).toBe(expected))

describe('usual messages', () => {
  const run = { id: 'r1', trigger_id: 'deploy', bot_id: 'bot', attempt: 3 }
  const event = (type: string): Parameters<typeof usualMessage>[0] => ({
    source_id: 'router',
    type,
    subject: 'deploy',
    payload: { run, reason: 'no answer', event: { source_id: 'forge', type: 'push', subject: 'site' } },
  })
  test.each([
    ['run.awaiting_approval', 'Approval needed: deploy', 'signalbox runs approve r1'],
    ['run.failed', 'Run failed: deploy', 'signalbox runs retry r1'],
    ['run.timed_out', 'Run timed out: deploy', 'Attempts: 3'],
    ['run.held', 'Run held: deploy', 'signalbox runs release r1'],
    ['run.completed', 'run.completed: deploy', 'Event: push site from forge'],
  ])('%s', (type, title, line) => {
    const message = usualMessage(event(type))
    expect(message.title).toBe(title)
    expect(message.text).toContain(line)
    expect(message.text).toContain('Reason: no answer')
  })
  test.each([
    [
      'source.silent',
      { silent_after_ms: 3_600_000 },
      'Silent source: forge',
      'Look: signalbox sources show forge',
    ],
    [
      'source.refusing',
      { refused: 20, reason: 'bad_signature' },
      'Source refuses deliveries: forge',
      '20 in a row were refused: bad_signature.',
    ],
    ['source.resumed', { after: 'silent', ms: 7_200_000 }, 'Source is back: forge', 'It was silent for 2 h'],
    ['source.failing', { error: 'no answer' }, 'Source cannot be read: forge', 'no answer'],
    [
      'token.expiring',
      { name: 'ci', expires_at: 1_800_000_000_000 },
      'Token ends soon: ci',
      'Token forge ends at 2027-01-15',
    ],
  ])('%s', (type, payload, title, line) => {
    const message = usualMessage({ source_id: 'router', type, subject: 'forge', payload })
    expect(message.title).toBe(title)
    expect(message.text).toContain(line)
  })
  test('an event that only looks like one of the router', () => {
    expect(usualMessage({ ...event('run.awaiting_approval'), source_id: 'web' }).title).toBe(
      'run.awaiting_approval: deploy',
    )
  })
  test('anything at all makes a message', () => {
    fc.assert(
      fc.property(fc.string(), fc.anything(), (type, payload) => {
        for (const source_id of ['router', 'web']) {
          const single = { source_id, type, subject: null, payload }
          expect(usualMessage(single).text).not.toBe('')
          expect(batchMessage([single, single]).text).toContain('2 events:')
        }
      }),
    )
  })
})
