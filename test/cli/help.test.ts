// Help, completion and the manual: made from the commands, complete, and usable by the programs that they are for.
import { execFile } from 'node:child_process'
import { existsSync, globSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { buildProgram } from '../../src/cli/program.ts'
import { commandExamples, everyCommand, wordsOf } from '../../src/cli/help.ts'
import { signalbox } from '../support/command-line.ts'
import { freshDirectory, freshRouter, type TestRouter } from '../support/router.ts'

const { program } = buildProgram({
  version: '0.0.0',
  env: {},
  stateDir: '/nowhere',
  socket: '/nowhere',
  serve: () => Promise.reject(new Error('no')),
} as never)
const commands = everyCommand(program).slice(1)
const hidden = new Set(['complete'])

describe('help', () => {
  test('has an example of every command, which is one of it; add it to src/cli/help.ts', () => {
    const words = commands.map(wordsOf).filter(name => !hidden.has(name))
    expect(Object.keys(commandExamples).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(
      words.toSorted((a, b) => (a < b ? -1 : 1)),
    )
    for (const [name, example] of Object.entries(commandExamples))
      expect(example, name).toContain(`signalbox ${name}`)
  })

  test('has every command of the program in a group; add it to src/cli/help.ts', () => {
    for (const command of program.commands)
      if (!hidden.has(command.name())) expect(command.helpGroup(), command.name()).not.toBe('')
  })

  test('marks options that are required, and ends with the example', async () => {
    const { out } = await signalbox({ directory: freshDirectory() }, ['forgejo', 'connect', '--help'])
    expect(out).toContain('--source <id> (required)')
    expect(out).toContain(`Example:\n  ${commandExamples['forgejo connect']}`)
  })
})

async function defined(): Promise<TestRouter> {
  const router = await freshRouter()
  await router.call('source.put', { source: { id: 'forge', source_type: 'service' } })
  await router.call('bot.put', {
    bot: { id: 'deployer', endpoint: { kind: 'command', argv: ['/bin/true'] } },
  })
  await router.call('trigger.put', {
    trigger: { id: 'deploy-site', filter: { type: ['x'] }, action: { bot_id: 'deployer' } },
  })
  return router
}

describe('completion', () => {
  test('offers commands, options, and ids that there are', async () => {
    const router = await defined()
    const run_id = (await router.call('event.emit', { source_id: 'forge', type: 'x', payload: {} })).runs[0]!
    for (const [words, found] of [
      [['tri'], ['triggers']],
      [['runs', 'lo'], ['logs']],
      [['runs', 'logs', '--fo'], ['--follow']],
      [['runs', 'logs', '01'], [run_id]],
      [['runs', 'logs', 'l'], ['last']],
      [['triggers', 'pause', ''], ['deploy-site']],
      [['runs', 'list', '--bot', ''], ['deployer']],
      [['runs', 'list', '--state', 'aw'], ['awaiting_approval']],
      [['emit', 'f'], ['forge']],
      [
        ['rpc', 'run.pr'],
        ['run.preview', 'run.progress'],
      ],
    ] as const)
      expect(
        (await signalbox(router, ['complete', '--', ...words])).out.trim().split('\n'),
        words.join(' '),
      ).toEqual(found)
  })

  test('is quiet without a router', async () => {
    expect(
      await signalbox({ directory: freshDirectory() }, ['complete', '--', 'triggers', 'pause', '']),
    ).toEqual({ code: 0, out: '', err: '' })
  })

  test('works in bash', async () => {
    const router = await defined()
    const script = (await signalbox(router, ['completion', 'bash'])).out
    const program_file = join(router.directory, 'signalbox')
    writeFileSync(program_file, `#!/bin/sh\nexec ${process.execPath} src/signalbox.ts "$@"\n`, {
      mode: 0o755,
    })
    const ask = `${script}COMP_WORDS=(${program_file} triggers pause dep); COMP_CWORD=3; _signalbox; echo "\${COMPREPLY[@]}"`
    const env = {
      PATH: process.env.PATH,
      SIGNALBOX_SOCKET: router.router.socket,
      SIGNALBOX_STATE_DIR: router.directory,
      HOME: router.directory,
    }
    const out = await new Promise<string>(resolve =>
      execFile('bash', ['-c', ask], { env }, (_error, text) => resolve(text)),
    )
    expect(out).toBe('deploy-site\n')
  })

  test.each(['zsh', 'fish'])('prints a script for %s, and refuses other shells', async shell => {
    const router = { directory: freshDirectory() }
    expect((await signalbox(router, ['completion', shell])).out).toContain('complete -- ')
    expect(await signalbox(router, ['completion', 'tcsh'])).toMatchObject({
      code: 64,
      err: expect.stringContaining('bash, zsh, fish') as string,
    })
  })
})

describe('the manual', () => {
  test('has every command with its options and example', async () => {
    const { out } = await signalbox({ directory: freshDirectory() }, ['man'])
    for (const command of commands)
      if (!hidden.has(command.name()))
        expect(out).toContain(`.SS "signalbox ${wordsOf(command).replaceAll('-', '\\-')}`)
    expect(out).toContain('\\fB\\-\\-source <id>\\fR (required)')
  })

  test.skipIf(!existsSync('/usr/bin/groff'))('is a page that man can show', async () => {
    const { out } = await signalbox({ directory: freshDirectory() }, ['man'])
    const { promise, resolve } = Promise.withResolvers<{ text: string; complaints: string }>()
    const groff = execFile(
      'groff',
      ['-man', '-Tutf8', '-ww', '-P-cbou'],
      { maxBuffer: 10_000_000 },
      (_error, text, complaints) => resolve({ text, complaints }),
    )
    groff.stdin!.end(out)
    const { text, complaints } = await promise
    expect(
      complaints
        .split('\n')
        .filter(line => line !== '' && !/can't (break|adjust) line|cannot (break|adjust) line/.test(line)),
    ).toEqual([])
    expect(text).toContain('signalbox runs logs <run>')
  })
})

describe('commands that texts name', () => {
  const known = new Set(commands.map(wordsOf))
  const groups = new Set(commands.filter(command => command.commands.length > 0).map(wordsOf))
  /** Words of a sentence that follow the name of a group. */
  const prose = new Set(['and', 'does', 'has', 'in', 'is', 'or', 'shows', 'to', 'with'])

  /** The example of a typing error in docs/command-line.md. */
  const misspelt = 'lisst'

  /** Such as signalbox runs skip, where runs has no command skip. */
  function unknownCommands(text: string): string[] {
    return [...text.matchAll(/\bsignalbox ([a-z]+) ([a-z][a-z-]*)(?![\w.:/@*]|-[a-z])/g)]
      .filter(
        ([, first, second]) =>
          second !== misspelt &&
          groups.has(first!) &&
          !known.has(`${first} ${second}`) &&
          !prose.has(second!),
      )
      .map(([all]) => all)
  }

  test('exist', () => {
    const files = globSync([
      'src/**/*.{ts,tsx,md}',
      'docs/**/*.md',
      'README.md',
      'schemas/**/*.json',
      'scripts/*',
    ])
    const texts = files
      .filter(file => statSync(file).isFile())
      .map(file => [file, readFileSync(file, 'utf8')] as const)
    expect(texts.flatMap(([file, text]) => unknownCommands(text).map(found => `${file}: ${found}`))).toEqual(
      [],
    )
  })

  test('control: one that does not exist is found', () => {
    expect(unknownCommands('run signalbox runs skip, then signalbox runs list')).toEqual([
      'signalbox runs skip',
    ])
  })
})
