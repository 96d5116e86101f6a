// What reaches a terminal: no text of an event, a sender or a bot steers it, and what programs read keeps its meaning.
import { execFile } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { yamlOf } from '../../src/cli/apply.ts'
import { junit } from '../../src/cli/junit.ts'
import { outputTo, paint } from '../../src/cli/output.ts'
import { isRisky, plain, plainJson } from '../../src/terminal-text.ts'
import { signalbox } from '../support/command-line.ts'
import { freshRouter, until, type TestRouter } from '../support/router.ts'

const hostile = '\u001b]0;owned\u0007\u001b[2J\u009b31m\u202egnirts\u2066\u061c\u200b\u2028\u007f\u{e0041}\r'
const character = fc.constantFrom(
  ...Array.from(hostile),
  '\n',
  '\t',
  '"',
  "'",
  '\\',
  '#',
  ':',
  ' ',
  'a',
  'é',
  '\u{1f600}',
  '\ud800',
  '- ',
  '|',
  '&',
)
const texts = fc.array(character, { maxLength: 12 }).map(parts => parts.join(''))
const values = fc.dictionary(texts, fc.oneof(texts, fc.array(texts, { maxLength: 3 })), {
  maxKeys: 4,
  noNullPrototype: true,
})

describe('texts with escapes', () => {
  test('as JSON say the same and are safe', () => {
    fc.assert(
      fc.property(values, fc.constantFrom(undefined, 2), (value, indent) => {
        const text = plainJson(JSON.stringify(value, null, indent))
        expect(isRisky(text)).toBe(false)
        expect(JSON.parse(text)).toEqual(value)
      }),
    )
  })

  test('as YAML say the same and are safe', () => {
    fc.assert(
      fc.property(fc.array(values, { minLength: 1, maxLength: 3 }), triggers => {
        const text = yamlOf({ bots: [], queues: [], sources: [], triggers } as never)
        expect(isRisky(text)).toBe(false)
        expect(parse(`${text}\n`)).toEqual({ triggers })
      }),
    )
  })

  test('as JUnit XML are safe', () => {
    fc.assert(
      fc.property(texts, texts, (name, failure) => !isRisky(junit([{ name, file: name, failure, ms: 1 }]))),
    )
  })

  test('as lines keep their colours and nothing else', () => {
    const lines: unknown[] = []
    const terminal = outputTo(text => void lines.push(text), { json: false, terminal: true })
    const piped = outputTo(text => void lines.push(text), { json: false, terminal: false })
    terminal.line(paint(terminal, 'red', `a${hostile}b`))
    expect(lines[0]).toBe(`\u001b[31m${plain(`a${hostile}b`)}\u001b[39m\n`)
    piped.line('\u001b[31mx')
    expect(lines[1]).toBe('\\u001b[31mx\n')
  })

  test('control: JSON and YAML as they are written usually are not safe', () => {
    const value = { text: '\u009b31m\u202e' }
    expect(isRisky(JSON.stringify(value))).toBe(true)
    expect(isRisky(stringify(value))).toBe(true)
  })

  test.each(['\u200d', '\u200c', '\ufe0f', 'é', 'ß', '日本', '\u{1f468}\u200d\u{1f469}', '\u00a0'])(
    '%j is shown unchanged',
    text => {
      expect(plain(text)).toBe(text)
    },
  )
})

/** A command that says something hostile on standard error, and fails. An argument of a process has no NUL and no lone surrogate. */
const argv = ['/bin/sh', '-c', 'printf %s "$1" >&2; exit 3', 'sh', hostile]

/** A router in which everything that somebody else may name is hostile. */
async function hostileRouter(): Promise<TestRouter> {
  const router = await freshRouter({ retry_schedule_ms: [1] })
  const { call } = router
  await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'command', argv } } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  const filter = { payload: { text: [hostile] } }
  await call('trigger.put', {
    trigger: { id: 't', filter, action: { bot_id: 'b', inputs: { text: hostile } } },
  })
  await call('event.emit', {
    source_id: 's',
    type: `type${hostile}`,
    subject: `subject${hostile}`,
    payload: { text: hostile, other: 1 },
  })
  await call('source.put', {
    source: { id: 'poll', source_type: 'poll', config: { command: { argv }, interval_ms: 60_000 } },
  })
  await until(async () => (await call('router.status', {})).warnings.length > 0)
  await until(async () => (await call('run.list', { dead: true })).runs.length > 0)
  return router
}

describe('a command line', () => {
  test('prints nothing that steers a terminal', { timeout: 60_000 }, async () => {
    const router = await hostileRouter()
    const commands = [
      ['doctor'],
      ['events'],
      ['events', 'show', 'last'],
      ['explain', 'last'],
      ['runs'],
      ['runs', 'show', 'last'],
      ['runs', 'history', 'last'],
      ['runs', 'retry', '--all'],
      ['sources', 'show', 'poll'],
      ['triggers'],
      ['triggers', 'show', 't'],
      ['bots', 'show', 'b'],
      ['export'],
      ['events', 'save', 'last', '-'],
      ['rpc', 'router.status'],
      ['rpc', hostile],
      [hostile],
    ]
    let hostiles = 0
    for (const command of commands) {
      for (const args of [command, ['--json', ...command]]) {
        const { out, err } = await signalbox(router, args)
        expect(isRisky(`${out}${err}`), JSON.stringify(args)).toBe(false)
        hostiles += `${out}${err}`.includes('\\u009b') ? 1 : 0
        if (args[0] === '--json' && command[0] !== 'rpc' && command.length < 4)
          for (const line of out.trim().split('\n'))
            expect(() => line === '' || JSON.parse(line), line).not.toThrow()
      }
    }
    // Most of them show what is hostile: as an escape.
    expect(hostiles).toBeGreaterThan(20)
  })

  test('exports what apply takes, hostile or not', { timeout: 30_000 }, async () => {
    const router = await hostileRouter()
    const { out } = await signalbox(router, ['export'])
    const again = await signalbox(router, ['apply', '--dry-run', '-f', '-'], {}, out)
    expect(again).toMatchObject({
      code: 0,
      out: expect.stringContaining('0 created, 0 changed, 0 deleted') as string,
    })
  })
})

test('log lines are JSON of the same meaning and safe', async () => {
  const script = `import('./src/observe/log.ts').then(({ openLog }) => { const log = openLog('info'); log.event('event.accepted', { type: ${JSON.stringify(hostile)} }); log.bug(new Error(${JSON.stringify(hostile)})); log.flush() })`
  const err = await new Promise<string>(resolve =>
    execFile(process.execPath, ['-e', script], (_error, _out, text) => resolve(text)),
  )
  expect(isRisky(err)).toBe(false)
  const records = err
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { type?: string; err?: { message: string } })
  expect(records[0]!.type).toBe(hostile)
  expect(records[1]!.err!.message).toBe(hostile)
})
