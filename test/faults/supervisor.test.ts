// How a supervisor sees the router: the units in scripts/systemd/ are sound and tight, each way to end has the exit code that says
// whether a restart helps, and a socket that the supervisor holds keeps senders waiting over a restart.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { signalbox } from '../support/command-line.ts'
import { ownEnvironment } from '../support/processes.ts'
import { freshDirectory } from '../support/router.ts'
import { faultyRouter, shim } from './shim.ts'
import { define, send, someEvents } from './workload.ts'

const units = 'scripts/systemd'
const service = readFileSync(join(units, 'signalbox.service'), 'utf8')
const stays = new Set(/^RestartPreventExitStatus=(.*)$/m.exec(service)![1]!.split(' ').map(Number))

const hasAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0
if (!hasAnalyze) console.log('SKIPPED: systemd-analyze is not installed; the units were not verified')

/** The units with the paths of this clone. */
function here(): string {
  const directory = freshDirectory()
  writeFileSync(join(directory, 'signalbox.service'), service.replaceAll('/opt/signalbox', process.cwd()))
  copyFileSync(join(units, 'signalbox.socket'), join(directory, 'signalbox.socket'))
  return directory
}

describe.skipIf(!hasAnalyze)('the units', () => {
  test('are what systemd understands', () => {
    const directory = here()
    const { status, stderr } = spawnSync(
      'systemd-analyze',
      ['verify', '--man=no', join(directory, 'signalbox.service'), join(directory, 'signalbox.socket')],
      {
        encoding: 'utf8',
      },
    )
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })

  test('leave little open: an exposure of at most 2 of 10', () => {
    const args = ['security', '--offline=yes', '--no-pager']
    const sound = spawnSync(
      'systemd-analyze',
      [...args, '--threshold=20', join(here(), 'signalbox.service')],
      { encoding: 'utf8' },
    )
    expect(sound.status, sound.stdout.slice(-200)).toBe(0)
    // Control: without its hardening it is far from that.
    const directory = here()
    writeFileSync(join(directory, 'signalbox.service'), service.slice(0, service.indexOf('# Hardening')))
    expect(
      spawnSync('systemd-analyze', [...args, '--threshold=20', join(directory, 'signalbox.service')]).status,
    ).not.toBe(0)
  })
})

describe('the unit of a person', () => {
  const user = readFileSync(join(units, 'signalbox-user.service'), 'utf8')
  const setting = (unit: string, name: string): string | undefined =>
    new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1]

  test.skipIf(!hasAnalyze)('is what systemd understands', () => {
    const directory = freshDirectory()
    const verified = (text: string): { status: number | null; stderr: string } => {
      writeFileSync(join(directory, 'signalbox.service'), text)
      return spawnSync(
        'systemd-analyze',
        ['verify', '--user', '--man=no', join(directory, 'signalbox.service')],
        {
          encoding: 'utf8',
          env: { ...process.env, XDG_RUNTIME_DIR: directory },
        },
      )
    }
    const here = user.replace(
      '%h/.local/lib/signalbox/node_modules/.bin/signalbox',
      join(process.cwd(), 'scripts/signalbox'),
    )
    expect(verified(here)).toMatchObject({ status: 0, stderr: '' })
    // Control: what systemd does not understand is noticed.
    expect(verified(here.replace('KillMode=mixed', 'KillMode=some')).stderr).toContain('kill mode')
  })

  test('starts on again, stays and ends as the unit of the machine, and keeps the home directory open', () => {
    for (const name of [
      'Restart',
      'RestartSec',
      'RestartPreventExitStatus',
      'TimeoutStopSec',
      'KillMode',
      'StartLimitBurst',
      'NoNewPrivileges',
    ])
      expect([name, setting(user, name)]).toEqual([name, setting(service, name)])
    for (const name of [
      'User',
      'DynamicUser',
      'ProtectHome',
      'ProtectSystem',
      'PrivateTmp',
      'StateDirectory',
    ])
      expect(setting(user, name)).toBeUndefined()
    expect(setting(user, 'WantedBy')).toBe('default.target')
    // Where the command line of the person looks, too.
    expect(user).not.toMatch(/^Environment=.*SIGNALBOX_(STATE_DIR|SOCKET)/m)
  })
})

describe('exit codes: what a restart mends, and what a person has to look at', () => {
  const ways: [
    name: string,
    code: number,
    restart: boolean,
    end: (directory: string) => Promise<number | null>,
  ][] = [
    [
      'a clean stop',
      0,
      false,
      async directory => {
        const router = await faultyRouter(directory)
        router.process.kill('SIGTERM')
        return router.ended
      },
    ],
    [
      'wrong use',
      64,
      false,
      async directory => (await faultyRouter(directory, {}, {}, ['--no-such-flag'])).ended,
    ],
    [
      'damaged data',
      65,
      false,
      async directory => {
        mkdirSync(join(directory, 'state'), { mode: 0o700 })
        writeFileSync(join(directory, 'state', 'signalbox.db'), 'x'.repeat(8192))
        return (await faultyRouter(directory)).ended
      },
    ],
    [
      'a socket path that is taken',
      73,
      true,
      async directory => {
        writeFileSync(join(directory, 'rpc.sock'), '')
        return (await faultyRouter(directory)).ended
      },
    ],
    [
      'an I/O error',
      74,
      true,
      async directory => {
        const router = await faultyRouter(directory, { fail_at: 120, errno: 5 })
        await define(router).catch(() => undefined)
        await send(router, someEvents(40, 'x'))
        return router.ended
      },
    ],
    [
      'another router at work',
      75,
      true,
      async directory => {
        await faultyRouter(directory)
        return (await faultyRouter(directory)).ended
      },
    ],
    [
      'a state directory that others can read',
      77,
      false,
      async directory => {
        mkdirSync(join(directory, 'state'))
        chmodSync(join(directory, 'state'), 0o755)
        return (await faultyRouter(directory)).ended
      },
    ],
    [
      'a configuration that is none',
      78,
      false,
      async directory => {
        writeFileSync(join(directory, 'config.json'), '[]')
        return (await faultyRouter(directory, {}, { SIGNALBOX_CONFIG: join(directory, 'config.json') })).ended
      },
    ],
  ]
  test.each(ways)('%s: %i', async (_name, code, restart, end) => {
    if (code === 74 && shim() === undefined) return
    expect(await end(freshDirectory())).toBe(code)
    // Restart=on-failure.
    expect(code !== 0 && !stays.has(code)).toBe(restart)
  })

  test('after an I/O error a restart goes on with everything that was answered', async () => {
    if (shim() === undefined) return
    const directory = freshDirectory()
    const first = await faultyRouter(directory, { fail_at: 150, errno: 5 })
    await define(first).catch(() => undefined)
    const book = someEvents(40, 'x')
    await send(first, book)
    expect(await first.ended).toBe(74)
    const second = await faultyRouter(directory)
    const client = await SignalboxClient.connect(second.socket)
    for (const { event_id } of book)
      if (event_id !== undefined) expect((await client.call('event.get', { event_id })).id).toBe(event_id)
    client.close()
  })
})

test('a socket that is handed over is listened on, and who sends while the router is away waits', async () => {
  const directory = freshDirectory()
  mkdirSync(join(directory, 'state'), { mode: 0o700 })
  const holder = createServer()
  holder.listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as { port: number }
  const { fd } = Reflect.get(holder, '_handle') as { fd: number }
  // A shell that holds the socket and never accepts, as systemd does; each life begins with a line of ours.
  const script = `while read -r _; do sh -c 'echo "pid $$"; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=intake exec "$0" "$@"' "$0" "$@"; echo "ended $?"; done`
  const supervisor = spawn('/bin/sh', ['-c', script, process.execPath, 'src/signalbox.ts', 'serve'], {
    stdio: ['pipe', 'pipe', 'inherit', fd],
    env: {
      ...ownEnvironment,
      SIGNALBOX_STATE_DIR: join(directory, 'state'),
      SIGNALBOX_SOCKET: join(directory, 'rpc.sock'),
      SIGNALBOX_LOG_LEVEL: 'error',
    },
  })
  holder.close()
  let pid = 0
  onTestFinished(() => {
    supervisor.kill('SIGKILL')
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
  })
  const lines = createInterface(supervisor.stdout!)[Symbol.asyncIterator]()
  const until = async (pattern: RegExp): Promise<string> => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`the supervisor ended before it said ${pattern}`)
      const found = pattern.exec(value)
      if (found !== null) return found[1]!
    }
  }
  const post = (n: number): Promise<number> =>
    fetch(`http://127.0.0.1:${port}/webhook/hook`, {
      method: 'POST',
      body: `{"n":${n}}`,
      headers: { 'content-type': 'application/json', connection: 'close' },
    }).then(answer => answer.status)
  supervisor.stdin!.write('\n')
  pid = Number(await until(/^pid (\d+)$/))
  expect(await until(/intake\s+(\S+)/)).toBe(`http://127.0.0.1:${port}`)
  await signalbox(
    { directory },
    ['sources', 'put', '-'],
    {},
    '{"id": "hook", "source_type": "webhook", "config": {"provider": "none"}}',
  )
  expect(await post(1)).toBe(202)
  process.kill(pid, 'SIGTERM')
  expect(await until(/^ended (\d+)$/)).toBe('0')
  const waiting = post(2)
  supervisor.stdin!.write('\n')
  pid = Number(await until(/^pid (\d+)$/))
  expect(await waiting).toBe(202)
  process.kill(pid, 'SIGTERM')
  expect(await until(/^ended (\d+)$/)).toBe('0')
  supervisor.stdin!.end()
})

test('a descriptor that is no socket: 73, and which', async () => {
  const directory = freshDirectory()
  mkdirSync(join(directory, 'state'), { mode: 0o700 })
  const env = {
    ...ownEnvironment,
    SIGNALBOX_STATE_DIR: join(directory, 'state'),
    SIGNALBOX_SOCKET: join(directory, 'rpc.sock'),
  }
  const { status, stderr } = spawnSync(
    '/bin/sh',
    [
      '-c',
      'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=intake exec "$0" src/signalbox.ts serve 3< /dev/null',
      process.execPath,
    ],
    { env, encoding: 'utf8' },
  )
  expect(stderr).toContain('descriptor 3')
  expect(status).toBe(73)
})
