// Workers on another machine: each is in a network namespace of its own and reaches the admin listener over TCP and TLS, through nothing
// but a link between the two.
import { spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient, type Methods, type Run } from '../../src/client/client.ts'
import { certificate, hasOpenssl } from '../support/certificate.ts'
import { metricsOf, value } from '../support/metrics.ts'
import { linked, Namespace, namespaceProblem, type Link } from '../support/network.ts'
import { firstLine, ownEnvironment } from '../support/processes.ts'
import { ended, freshDirectory, until, type TestRouter } from '../support/router.ts'

const problem = namespaceProblem() ?? (hasOpenssl ? undefined : 'openssl is not installed')
if (problem !== undefined)
  console.log(`SKIPPED: workers in network namespaces of their own were not tried: ${problem}`)
const hasPython = spawnSync('python3', ['--version']).status === 0

interface Machines {
  call: TestRouter['call']
  /** the control socket */
  socket: string
  url: string
  link: Link
  /** a token of the bot counter */
  token: Methods['token.create']['result']
  /** Starts a worker on the other machine; said: what it wrote to standard error. */
  work: (command: readonly string[]) => { worker: ChildProcess; said: () => string }
  /** Ends both machines; answers the processes that are left on them. */
  end: () => Promise<number[]>
}

/** A router on one machine, and another machine that can reach it. */
async function machines(bot: object = {}): Promise<Machines> {
  const directory = freshDirectory()
  const [here, there] = [await Namespace.make(), await Namespace.make()]
  const link = linked(here, there)
  const [address] = link.addresses
  const tls = certificate(directory, 'router', [address])
  const socket = join(directory, 'rpc.sock')
  const config = join(directory, 'config.json')
  const listeners = {
    socket,
    intake_address: join(directory, 'in.sock'),
    admin_address: `${address}:8021`,
    tls,
  }
  writeFileSync(
    config,
    JSON.stringify({
      state_dir: join(directory, 'state'),
      ...listeners,
      log_level: 'error',
      disk_reserve_bytes: 0,
    }),
  )
  const env = { ...ownEnvironment, HOME: directory }
  const router = here.start([process.execPath, 'src/signalbox.ts', 'serve', '--config', config], env)
  await firstLine(router)
  const client = await SignalboxClient.connect(socket)
  onTestFinished(() => client.close())
  const call: TestRouter['call'] = (method, params) => client.call(method, params)
  await call('bot.put', { bot: { id: 'counter', endpoint: { kind: 'pull', ...bot } } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  const token = await call('token.create', { name: 'elsewhere', role: 'worker', bot_id: 'counter' })
  const file = join(directory, 'worker.token')
  writeFileSync(file, token.token, { mode: 0o600 })
  const { admin_address: url } = await call('router.status', {})
  const workers: ChildProcess[] = []
  return {
    call,
    socket,
    url: url!,
    link,
    token,
    work(command) {
      let said = ''
      const worker = there.start([...command, url!, file, 'counter'], {
        ...env,
        NODE_EXTRA_CA_CERTS: tls.cert,
        SSL_CERT_FILE: tls.cert,
      })
      worker.stderr!.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
      workers.push(worker)
      return { worker, said: () => said }
    },
    async end() {
      client.close()
      for (const started of [router, ...workers]) {
        if (started.exitCode !== null || started.signalCode !== null) continue
        const exited = once(started, 'exit')
        started.kill('SIGTERM')
        await exited
      }
      const left = [...here.processes(), ...there.processes()]
      await Promise.all([here.end(), there.end()])
      return left
    },
  }
}

async function emitted({ call }: Machines, text: unknown): Promise<string> {
  return (await call('event.emit', { source_id: 's', type: 'text', payload: { text } })).runs[0]!
}

async function putTrigger({ call }: Machines, retry: 'none' | number[]): Promise<void> {
  await call('trigger.put', {
    trigger: {
      id: 't',
      filter: { type: ['text'] },
      action: { bot_id: 'counter', inputs: { text: '{{ payload.text }}' } },
      policy: { retry },
    },
  })
}

describe.skipIf(problem !== undefined)('a worker on another machine', () => {
  test.each([
    ['TypeScript', [process.execPath, 'examples/worker.ts'], true],
    ['Python', ['python3', 'examples/worker.py'], hasPython],
  ])('%s: works on runs of its bot', { timeout: 60_000 }, async (_name, command, isInstalled) => {
    if (!isInstalled) return console.log('SKIPPED: python3 is not installed')
    const there = await machines()
    const { call, url, link, token, work, end } = there
    expect(url).toBe('https://10.77.0.1:8021')
    await putTrigger(there, 'none')
    const [good, bad] = [await emitted(there, 'one two  three'), await emitted(there, 7)]
    const { worker, said } = work(command)
    const router = { call } as TestRouter
    expect(await ended(router, good)).toMatchObject({ state: 'completed', result: { words: 3 } })
    expect(await ended(router, bad)).toMatchObject({
      state: 'failed',
      error: 'inputs.text must be a string; found 7',
    })
    // The calls came from the other machine.
    await until(async () =>
      (await call('token.list', {})).tokens.some(
        ({ id, last_used_from }) => id === token.created.id && last_used_from === link.addresses[1],
      ),
    )
    const exited = once(worker, 'exit')
    await call('token.revoke', { token_id: token.created.id })
    expect((await exited)[0]).toBe(1)
    expect(said()).toContain('token that is valid')
    expect(await end()).toEqual([])
    return undefined
  })

  test('that the network cuts off loses its run, and works on it again', { timeout: 60_000 }, async () => {
    const there = await machines({ lease_ms: 1000 })
    const { call, socket, link, work, end } = there
    await putTrigger(there, [0, 0, 0])
    // At 100 ms a word the run outlasts its lease.
    const run_id = await emitted(there, 'word '.repeat(30))
    work([process.execPath, 'examples/worker.ts'])
    const run = async (): Promise<Run> => (await call('run.get', { run_id })).run
    await until(async () => (await run()).state === 'running')
    link.cut()
    await until(async () => (await run()).state === 'pending')
    const lost = async (): Promise<number | undefined> =>
      value(await metricsOf({ router: { socket } }), 'signalbox_leases_lost_total', { bot: 'counter' })
    expect(await lost()).toBeGreaterThanOrEqual(1)
    link.mend()
    const { attempt, ...last } = await ended({ call } as TestRouter, run_id)
    expect(last).toMatchObject({ state: 'completed', result: { words: 30 } })
    expect(attempt).toBeGreaterThanOrEqual(2)
    // A claim that was open when the link was cut may be given the run, and lose it again before it begins.
    const { history } = await call('run.history', { run_id })
    expect(history.filter(({ reason }) => reason?.includes('lease') === true).length).toBe(await lost())
    expect(await end()).toEqual([])
  })
})
