// The example workers, started as their first lines say, over HTTP with a token for one bot.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { listening } from '../support/admin.ts'
import { ended } from '../support/router.ts'

const hasPython = spawnSync('python3', ['--version']).status === 0

function started(command: readonly string[]): { worker: ChildProcess; said: () => string } {
  let said = ''
  const worker = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] })
  worker.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
  onTestFinished(() => void worker.kill('SIGKILL'))
  return { worker, said: () => said }
}

test.skipIf(!hasPython).each([
  ['Python', ['python3', 'examples/worker.py']],
  ['TypeScript', [process.execPath, 'examples/worker.ts']],
])(
  '%s: works on runs of its bot, reports failures, and stops',
  { timeout: 60_000 },
  async (_name, command) => {
    const router = await listening()
    const { call, admin, directory } = router
    await call('bot.put', { bot: { id: 'counter', endpoint: { kind: 'pull' } } })
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    await call('trigger.put', {
      trigger: {
        id: 't',
        filter: { type: ['text'] },
        action: { bot_id: 'counter', inputs: { text: '{{ payload.text }}' } },
        policy: { retry: 'none' },
      },
    })
    const { token, created } = await call('token.create', {
      name: 'the example',
      role: 'worker',
      bot_id: 'counter',
    })
    const file = join(directory, 'worker.token')
    writeFileSync(file, `${token}\n`, { mode: 0o600 })
    const { worker, said } = started([...command, admin, file, 'counter'])
    const emit = async (text: unknown): Promise<string> =>
      (await call('event.emit', { source_id: 's', type: 'text', payload: { text } })).runs[0]!
    const [good, bad] = [await emit('one two  three'), await emit(7)]
    expect(await ended(router, good)).toMatchObject({ state: 'completed', result: { words: 3 } })
    expect((await call('run.output', { run_id: good })).parts).toMatchObject([
      { stream: 'log', text: 'counted 3 words\n' },
    ])
    expect(await ended(router, bad)).toMatchObject({
      state: 'failed',
      error: 'inputs.text must be a string; found 7',
    })
    // A token that was revoked ends the worker, which says why.
    const exited = once(worker, 'exit')
    await call('token.revoke', { token_id: created.id })
    expect((await exited)[0]).toBe(1)
    expect(said()).toContain('token that is valid')
  },
)
