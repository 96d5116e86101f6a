// An I/O error is the end of the process: SQLite would go on as if nothing had been, with who knows what on the disk. Here
// files may not grow beyond a limit; the write that would is an error. No answer may follow it, and what was answered
// before is there after a restart.
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { ownEnvironment } from '../support/processes.ts'
import { freshDirectory, freshRouter } from '../support/router.ts'

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0
if (!hasPrlimit) console.log('SKIPPED: prlimit is not installed, I/O errors were not tried')

test.skipIf(!hasPrlimit)(
  'a write that fails ends the router with 74, and loses nothing that was answered',
  async () => {
    const directory = freshDirectory()
    const socket = join(directory, 'rpc.sock')
    const env = {
      ...ownEnvironment,
      SIGNALBOX_STATE_DIR: join(directory, 'state'),
      SIGNALBOX_SOCKET: socket,
      SIGNALBOX_INTAKE_ADDRESS: '127.0.0.1:0',
      SIGNALBOX_LOG_LEVEL: 'error',
    }
    const router = spawn('prlimit', ['--fsize=2000000', process.execPath, 'src/signalbox.ts', 'serve'], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    onTestFinished(() => void router.kill('SIGKILL'))
    let said = ''
    router.stderr.on('data', chunk => (said += String(chunk)))
    const ended = new Promise(resolve => router.once('exit', resolve))
    await new Promise(resolve => createInterface(router.stdout).once('line', resolve))
    const client = await SignalboxClient.connect(socket)
    await client.call('source.put', { source: { id: 's', source_type: 'service' } })
    const accepted: string[] = []
    const failures: unknown[] = []
    for (let at = 0; failures.length === 0 && at < 2000; at += 20) {
      const emits = Array.from({ length: 20 }, (_, index) =>
        client.call('event.emit', {
          source_id: 's',
          type: 'x',
          payload: { n: at + index, text: 'x'.repeat(4000) },
        }),
      )
      for (const outcome of await Promise.allSettled(emits)) {
        if (outcome.status === 'fulfilled') accepted.push(outcome.value.event_id)
        else failures.push(outcome.reason)
      }
    }
    expect(await ended).toBe(74)
    expect(said).toContain('SQLITE_IOERR')
    expect(accepted.length).toBeGreaterThan(100)
    const again = await freshRouter({ state_dir: join(directory, 'state') })
    for (const event_id of accepted) expect((await again.call('event.get', { event_id })).id).toBe(event_id)
  },
)
