// How a router ends: promises P19 (a kill takes its commands along), P47 (a second signal) and P51 (a bug ends it with 70).
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { faultyRouter, type FaultyRouter } from '../faults/shim.ts'
import { freshDirectory, until } from '../support/router.ts'

/** Whether a process is alive (a zombie is not). */
function alive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** A router that runs a command that does not end by itself, and the process id of the command. */
async function busy(directory: string): Promise<{ router: FaultyRouter; run_id: string; pid: number }> {
  const router = await faultyRouter(directory)
  const client = await SignalboxClient.connect(router.socket)
  const file = join(directory, 'pid')
  const script = `trap "" TERM; echo $$ > ${file}; while :; do sleep 0.05; done`
  await client.call('bot.put', {
    bot: { id: 'stays', endpoint: { kind: 'command', argv: ['/bin/sh', '-c', script] } },
  })
  await client.call('event.register', {
    source: { id: 's', source_type: 'service' },
    triggers: [{ id: 't', filter: { source_id: ['s'] }, action: { bot_id: 'stays' } }],
  })
  const { runs } = await client.call('event.emit', { source_id: 's', type: 'x', payload: {} })
  client.close()
  const pid = await until(() => Promise.resolve(existsSync(file) && Number(readFileSync(file, 'utf8'))))
  onTestFinished(() => {
    if (alive(pid)) process.kill(pid, 'SIGKILL')
  })
  return { router, run_id: runs[0]!, pid }
}

const hasSetpriv = ['/usr/bin/setpriv', '/bin/setpriv'].some(path => existsSync(path))
if (!hasSetpriv) console.log('SKIPPED: setpriv is not installed, commands of a killed router were not tried')

test.skipIf(!hasSetpriv)(
  'a router that is killed takes its commands along, and the next one starts the run again',
  async () => {
    const directory = freshDirectory()
    const { router, run_id, pid } = await busy(directory)
    // Control: until then it runs.
    expect(alive(pid)).toBe(true)
    router.process.kill('SIGKILL')
    await router.ended
    await until(() => Promise.resolve(!alive(pid)))
    const next = await faultyRouter(directory)
    const client = await SignalboxClient.connect(next.socket)
    const { attempts } = await until(async () => {
      const history = await client.call('run.history', { run_id })
      return history.attempts.length > 0 && history
    })
    expect(attempts[0]).toMatchObject({ number: 1, outcome: 'unknown' })
    client.close()
  },
)

test('a first signal waits for what runs, a second one ends the router at once', async () => {
  const { router } = await busy(freshDirectory())
  let ended = false
  void router.ended.then(() => (ended = true))
  router.process.kill('SIGTERM')
  await until(() =>
    fetch(`${router.intake}/health`).then(
      answer => answer.status !== 200,
      () => true,
    ),
  )
  // Control: the command holds it.
  expect(ended).toBe(false)
  const begun = performance.now()
  router.process.kill('SIGTERM')
  expect(await router.ended).toBe(1)
  expect(performance.now() - begun).toBeLessThan(2000)
})

test.each([
  ['an exception', 'SIGUSR2', 'thrown on purpose'],
  ['a rejection', 'SIGWINCH', 'rejected on purpose'],
] as const)('%s that is not caught: 70, and what it was', async (_name, signal, message) => {
  const router = await faultyRouter(freshDirectory(), { control: 'throws.mjs' })
  // Control: another signal without a meaning for the router leaves it as it is.
  router.process.kill('SIGCONT')
  expect((await fetch(`${router.intake}/health`)).status).toBe(200)
  router.process.kill(signal)
  expect(await router.ended).toBe(70)
  expect(router.said()).toContain(`bug, stopping: Error: ${message}`)
})
