// Files that are read by a name that somebody gives: whatever the name leads to, the answer is one sentence, and nothing blocks.
import { execFileSync, spawn } from 'node:child_process'
import { closeSync, constants, mkdirSync, openSync, symlinkSync, writeFileSync, writeSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { SignalboxClient } from '../src/client/client.ts'
import { runProgram } from '../src/cli/program.ts'
import { readConfig } from '../src/config.ts'
import { defaultToolRules } from '../src/main/default-tools.ts'
import { openTrial } from '../src/main/trial.ts'
import { salvage } from '../src/main/salvage.ts'
import { startRouter } from '../src/main.ts'
import { FileError, readPlainFile } from '../src/plain-file.ts'
import { isExposed, secretsOf } from '../src/secrets.ts'
import { freshDirectory, freshRouter, quiet, until } from './support/router.ts'

/** One of each that is no regular file, with what is said of it. */
async function strangers(): Promise<Record<string, [path: string, said: string]>> {
  const directory = freshDirectory()
  const at = (name: string): string => join(directory, name)
  execFileSync('mkfifo', [at('fifo')])
  mkdirSync(at('directory'))
  writeFileSync(at('file'), 'x')
  symlinkSync('loop', at('loop'))
  symlinkSync('nowhere', at('dangling'))
  symlinkSync('fifo', at('to-fifo'))
  writeFileSync(at('huge'), Buffer.alloc(70 * 1_048_576))
  const server = createServer()
  await new Promise<void>(resolve => server.listen(at('socket'), resolve))
  onTestFinished(() => void server.close())
  return {
    fifo: [at('fifo'), 'is a FIFO; a regular file was expected'],
    'a link to it': [at('to-fifo'), 'is a FIFO; a regular file was expected'],
    directory: [at('directory'), 'is a directory; a regular file was expected'],
    socket: [at('socket'), 'is a socket; a regular file was expected'],
    device: ['/dev/zero', 'is a device; a regular file was expected'],
    loop: [at('loop'), 'cannot be read (ELOOP): its symlinks lead in a circle'],
    dangling: [at('dangling'), 'cannot be read (ENOENT): it does not exist'],
    'below a file': [at('file/x'), 'cannot be read (ENOTDIR): a part of its path is not a directory'],
    'a long name': [at('x'.repeat(300)), 'cannot be read (ENAMETOOLONG): its name is too long'],
    'a NUL': [at('a\0b'), 'cannot be read (ERR_INVALID_ARG_VALUE): its name has a NUL character'],
    huge: [at('huge'), 'bytes; at most'],
  }
}

const options = { most_bytes: 1000 }

describe('what is no plain file', () => {
  test('is refused in one sentence that names it', async () => {
    for (const [kind, [path, said]] of Object.entries(await strangers())) {
      let error: unknown
      try {
        readPlainFile(path, options)
      } catch (thrown) {
        error = thrown
      }
      expect(error, kind).toBeInstanceOf(FileError)
      expect((error as Error).message, kind).toContain(said)
      expect((error as Error).message.startsWith(path), kind).toBe(true)
    }
  })

  test('a file whose size says nothing is read up to the limit', () => {
    expect(readPlainFile('/proc/self/status', { most_bytes: 1_000_000 }).bytes.length).toBeGreaterThan(100)
    expect(() => readPlainFile('/proc/self/status', { most_bytes: 10 })).toThrow(
      'has more than 10 bytes; at most 10 are read',
    )
  })

  test('control: reading a FIFO in the usual way blocks', async () => {
    const directory = freshDirectory()
    const path = join(directory, 'fifo')
    execFileSync('mkfifo', [path])
    const reader = spawn(
      process.execPath,
      ['-e', `process.stdout.write(require('fs').readFileSync(${JSON.stringify(path)}))`],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
    const said = new Promise<string>(resolve =>
      reader.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString())),
    )
    // A FIFO can be opened for writing without blocking only while a reader waits in it.
    const writer = await until(async () => {
      try {
        return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
      } catch {
        return false
      }
    })
    expect(() => readPlainFile(path, options)).toThrow('is a FIFO')
    expect(reader.exitCode).toBeNull()
    writeSync(writer, 'now')
    closeSync(writer)
    expect(await said).toBe('now')
  })
})

describe('secrets', () => {
  test('of every kind that is no file are refused, and the router goes on', async () => {
    const { call, post } = await freshRouter()
    for (const [kind, [path]] of Object.entries(await strangers())) {
      if (kind === 'a NUL') continue
      await call('source.put', {
        source: {
          id: 'forge',
          source_type: 'webhook',
          config: { provider: 'bearer', secrets: [{ file: path }] },
        },
      })
      expect(await post('forge', '{}', { authorization: 'Bearer x' }), kind).toMatchObject({
        status: 503,
        body: { code: 'E_SOURCE_UNCONFIGURED' },
      })
    }
    expect((await call('router.status', {})).warnings).toHaveLength(1)
  })

  test('a FIFO in place of a secret does not stop a start', async () => {
    const directory = freshDirectory()
    const fifo = join(directory, 'fifo')
    execFileSync('mkfifo', [fifo])
    const first = await startAt(directory)
    await first.client.call('source.put', {
      source: {
        id: 'forge',
        source_type: 'webhook',
        config: { provider: 'bearer', secrets: [{ file: fifo }] },
      },
    })
    await first.stop()
    const again = await startAt(directory)
    expect((await again.client.call('router.status', {})).warnings[0]).toContain(`${fifo} is a FIFO`)
    await again.stop()
  })

  test.each([
    [0o600, 1000, 1000, false],
    [0o644, 1000, 1000, true],
    [0o644, 0, 1000, false],
    [0o444, 0, 1000, false],
    [0o664, 0, 1000, true],
    [0o646, 0, 1000, true],
    [0o644, 0, 0, true],
    [0o640, 1001, 1000, true],
  ])('of mode %o, owner %i, read by %i: exposed %s', (mode, uid, own, exposed) => {
    expect(isExposed({ mode, uid }, own)).toBe(exposed)
  })

  test('the largest that is read is 64 KiB', () => {
    const path = join(freshDirectory(), 'secret')
    const { read } = secretsOf({}, () => 0)
    writeFileSync(path, 'x'.repeat(65_536), { mode: 0o600 })
    expect(read({ file: path }).ok).toBe(true)
    const other = `${path}2`
    writeFileSync(other, 'x'.repeat(65_537), { mode: 0o600 })
    expect(read({ file: other })).toEqual({
      ok: false,
      reason: `${other} has 65537 bytes; at most 65536 are read`,
    })
  })
})

async function startAt(directory: string): Promise<{ client: SignalboxClient; stop: () => Promise<void> }> {
  const config = readConfig(
    { HOME: directory },
    { state_dir: join(directory, 'state'), socket: join(directory, 's'), ...quiet },
  )
  const router = await startRouter(config, {
    env: { HOME: directory },
    onFatal: message => expect.fail(message),
  })
  const client = await SignalboxClient.connect(router.socket)
  return {
    client,
    stop: async () => {
      client.close()
      await router.stop()
    },
  }
}

describe('a start', () => {
  test.each(['signalbox.db', 'signalbox.high', 'router.lock'])('ends where %s is a FIFO', async name => {
    const directory = freshDirectory()
    mkdirSync(join(directory, 'state'), { mode: 0o700 })
    execFileSync('mkfifo', [join(directory, 'state', name)])
    await expect(startAt(directory)).rejects.toMatchObject({
      exitCode: 74,
      message: expect.stringContaining(`${name} is a FIFO`) as string,
    })
  })

  test('reads only a plain configuration file', async () => {
    for (const [kind, [path, said]] of Object.entries(await strangers()))
      expect(() => readConfig({ SIGNALBOX_CONFIG: path }, {}), kind).toThrow(
        expect.objectContaining({ exitCode: 78, message: expect.stringContaining(said) as string }) as Error,
      )
  })
})

/** What the command line says, and its exit code. */
async function said(...argv: string[]): Promise<{ code: number; err: string }> {
  return saidOf('/nowhere', argv)
}

async function saidOf(stateDir: string, argv: string[]): Promise<{ code: number; err: string }> {
  const lines: string[] = []
  const spies = [
    vi.spyOn(console, 'error').mockImplementation((text: string) => void lines.push(text)),
    vi.spyOn(process.stdout, 'write').mockImplementation(chunk => lines.push(String(chunk).trimEnd()) > 0),
  ]
  try {
    const code = await runProgram(argv, {
      env: {},
      stateDir,
      socket: join(stateDir, 's'),
      version: '0',
      serve: () => Promise.reject(new Error('not here')),
      trial: async () => openTrial(() => 0),
      salvage: async () => salvage,
      toolRules: async () => defaultToolRules(),
    }).catch((error: unknown) => {
      if (typeof (error as { exitCode?: unknown }).exitCode !== 'number') throw error
      lines.push((error as Error).message)
      return (error as { exitCode: number }).exitCode
    })
    return { code, err: lines.join('\n') }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

describe('the command line', () => {
  const commands: [name: string, argv: (path: string) => string[], code: number][] = [
    ['verify', path => ['verify', path], 74],
    ['recover --from', path => ['recover', '/nowhere/new.db', '--from', path], 74],
    ['apply -f', path => ['apply', '-f', path], 64],
    ['test -f', path => ['test', '-f', path], 64],
    ['emit --payload', path => ['emit', 's', 't', '--payload', `@${path}`], 64],
    ['emit --context-file', path => ['emit', 's', 't', '--context-file', path], 64],
    ['emit --context-dir', path => ['emit', 's', 't', '--context-dir', path], 64],
    ['triggers put', path => ['triggers', 'put', path], 64],
  ]
  test.each(commands)('%s says what is wrong with a path', async (name, argv, code) => {
    for (const [kind, [path]] of Object.entries(await strangers())) {
      // A directory is what some expect; a large file is a database like another.
      if (kind === 'directory' && /apply|test|dir/.test(name)) continue
      if (kind === 'huge' && /verify|recover/.test(name)) continue
      const answer = await said(...argv(path))
      expect(answer.err, `${name} ${kind}`).toContain(
        kind === 'a long name' ? 'ENAMETOOLONG' : path.split('\0', 1)[0],
      )
      expect(answer.err, `${name} ${kind}`).not.toMatch(/^\s+at /m)
      expect(answer.code, `${name} ${kind}`).toBe(code)
    }
  })

  test('recover says what is wrong with where it is to write', async () => {
    const all = await strangers()
    const file = all.huge![0]
    for (const kind of ['loop', 'below a file', 'a long name', 'a NUL'] as const) {
      const answer = await said('recover', join(all[kind]![0], 'new.db'), '--from', file)
      expect([answer.code, answer.err.includes('\n    at ')], kind).toEqual([74, false])
    }
  })

  test('doctor says what is wrong with a state directory', async () => {
    for (const kind of ['loop', 'a long name', 'below a file', 'a NUL'] as const) {
      const answer = await saidOf((await strangers())[kind]![0], ['doctor'])
      expect(answer.code, kind).toBe(1)
      expect(answer.err, kind).toMatch(kind === 'below a file' ? /does not exist yet/ : /cannot be read \(E/)
    }
  })

  test('a report that cannot be written is said in one sentence', async () => {
    const directory = freshDirectory()
    writeFileSync(
      join(directory, 't.yaml'),
      'triggers: [{id: t, filter: {type: [x]}, action: {bot_id: b}}]\n',
    )
    writeFileSync(join(directory, 'a.test.yaml'), 'cases: [{event: {type: x}, expect: {t: true}}]\n')
    const answer = await said('test', '-f', directory, '--junit', join(directory, 'none', 'report.xml'))
    expect(answer).toMatchObject({
      code: 64,
      err: expect.stringContaining('cannot be written (ENOENT): it does not exist') as string,
    })
  })

  test('a directory of context files follows no symlink', async () => {
    const directory = freshDirectory()
    mkdirSync(join(directory, 'context'))
    writeFileSync(join(directory, 'key'), 'private')
    symlinkSync('../key', join(directory, 'context', 'notes.md'))
    const answer = await said('emit', 's', 't', '--context-dir', join(directory, 'context'))
    expect(answer).toMatchObject({
      code: 64,
      err: expect.stringContaining('notes.md is a symlink; a regular file was expected') as string,
    })
  })

  test('a pipe that the shell made is read', () => {
    const script = `exec 3< <(printf '{"a":1}'); exec "$0" -e 'import("./src/plain-file.ts").then(({ readPlainFile }) => process.stdout.write(readPlainFile("/dev/fd/3", { most_bytes: 100, descriptors: true }).bytes))'`
    expect(
      execFileSync('/bin/bash', ['-c', script, process.execPath], {
        stdio: ['ignore', 'pipe', 'inherit'],
      }).toString(),
    ).toBe('{"a":1}')
  })
})

test('a backup to a path that cannot be is refused', async () => {
  const { call } = await freshRouter()
  const all = await strangers()
  for (const kind of ['loop', 'below a file', 'a long name', 'a NUL', 'fifo'] as const)
    await expect(call('router.backup', { path: join(all[kind]![0], 'b.db') }), kind).rejects.toMatchObject({
      code: -32602,
    })
})
