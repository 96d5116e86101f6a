// Promise P60: no secret appears in logs, the database, answers, errors, backups, the environment or command line of a child. Twelve
// canaries, one in every place that holds a secret or is sent one; then everything that the router says and writes is searched.
import { createHmac } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { botServer } from '../support/bot-server.ts'
import { signalbox } from '../support/command-line.ts'
import { freshDirectory, until } from '../support/router.ts'
import { report } from './report.ts'
import { faultyRouter } from './shim.ts'

const canary = (number: number): string => `canary${number}q${'0123456789abcdef'.repeat(2)}`
const standardKey = Buffer.from(canary(5)).toString('base64')
/** As they were written, and as they would stand in base64 or in an URL. */
const spellings = (text: string): string[] => [
  text,
  Buffer.from(text).toString('base64').replace(/=+$/, '').slice(0, -2),
  Buffer.from(text).toString('hex'),
]

/** Every file below a directory, but the secrets themselves. */
function files(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map(name => join(directory, name))
    .filter(path => statSync(path).isFile() && !path.endsWith('.secret'))
}

type Tell = (what: Promise<unknown>) => Promise<void>
type Deliver = (id: string, headers: Record<string, string>, query?: string, n?: number) => Promise<void>

/** Deliveries that are right, and deliveries that are not; with secrets where senders leave them. */
async function deliverAll(deliver: Deliver): Promise<void> {
  const hmac = (key: string): string => createHmac('sha256', key).update('{"n":1}').digest('hex')
  await deliver('forge', { 'x-forgejo-signature': hmac(canary(1)), 'x-forgejo-event': 'push' })
  await deliver('hub', {
    'x-hub-signature-256': `sha256=${hmac(canary(2))}`,
    'x-github-event': 'push',
    'x-github-delivery': 'd1',
  })
  await deliver('lab', { 'x-gitlab-token': canary(3), 'x-gitlab-event': 'Push Hook' })
  await deliver('tok', { authorization: `Bearer ${canary(4)}` })
  await deliver('tok', { authorization: `Bearer ${canary(4)}x` })
  await deliver('lab', { 'x-gitlab-token': `${canary(3)}x`, 'x-gitlab-event': 'Push Hook' })
  await deliver('forge', { authorization: `Basic ${canary(12)}` }, `?token=${canary(12)}`)
  await deliver('none', {}, `?access_token=${canary(12)}`)
}

/** Asks for everything that the router and its command line answer. */
async function askAll(
  client: SignalboxClient,
  runs: readonly { id: string }[],
  directory: string,
  tell: Tell,
): Promise<void> {
  for (const method of [
    'source.list',
    'trigger.list',
    'bot.list',
    'queue.list',
    'router.status',
    'router.stats',
    'rpc.discover',
    'router.export',
  ] as const)
    await tell(client.call(method as 'router.status', {}))
  for (const run of runs) {
    await tell(client.call('run.get', { run_id: run.id }))
    await tell(client.call('run.history', { run_id: run.id }))
  }
  const { events } = await client.call('event.query', { limit: 100 })
  for (const { id } of events) await tell(client.call('event.get', { event_id: id, raw: true }))
  await tell(client.call('router.backup', { path: join(directory, 'backup.db') }))
  for (const args of [['doctor'], ['sources'], ['bots'], ['export'], ['verify']]) {
    const { out, err } = await signalbox({ directory }, args, {
      SIGNALBOX_STATE_DIR: join(directory, 'state'),
    })
    await tell(Promise.resolve([out, err]))
  }
}

/** The canaries that some texts hold, in any spelling. */
function canariesIn(searched: readonly (readonly [string, string])[]): string[] {
  const found: string[] = []
  for (let number = 1; number <= 12; number++)
    for (const [where, text] of searched)
      for (const spelling of [...spellings(canary(number)), ...(number === 5 ? [standardKey] : [])])
        if (text.includes(spelling)) found.push(`canary ${number} in ${where}`)
  return found
}

test('twelve canaries are planted, and none is found', async () => {
  const begun = performance.now()
  const directory = freshDirectory()
  const file = (number: number): { file: string } => {
    const path = join(directory, `${number}.secret`)
    writeFileSync(path, `${canary(number)}\n`, { mode: 0o600 })
    return { file: path }
  }
  const env = {
    FORGE: canary(1),
    LAB: canary(3),
    STANDARD: `whsec_${standardKey}`,
    DEPLOY_TOKEN: canary(7),
    AWS_SECRET_ACCESS_KEY: canary(8),
    SIGNALBOX_LOG_LEVEL: 'trace',
  }
  const bot = await botServer(
    (request, response) => void response.end(JSON.stringify({ echo: request.headers })),
  )
  const router = await faultyRouter(directory, {}, env)
  const client = await SignalboxClient.connect(router.socket)
  const told: string[] = []
  const tell: Tell = async what => {
    told.push(
      JSON.stringify(
        await what.catch((error: unknown) => ({ message: String(error), ...(error as object) })),
      ),
    )
  }
  const source = (id: string, config: object): Promise<unknown> =>
    client.call('source.put', { source: { id, source_type: 'webhook', config: config as never } })
  await source('forge', { provider: 'forgejo', secrets: [{ env: 'FORGE' }] })
  await source('hub', { provider: 'github', secrets: [file(2)] })
  await source('lab', { provider: 'gitlab', secrets: [{ env: 'LAB' }] })
  await source('tok', { provider: 'bearer', secrets: [file(4)] })
  await source('std', { provider: 'standard', secrets: [{ env: 'STANDARD' }] })
  const deliver: Deliver = async (id, headers, query = '', n = 1) => {
    const answer = await fetch(`${router.intake}/webhook/${id}${query}`, {
      method: 'POST',
      body: `{"n":${n}}`,
      headers: {
        'content-type': 'application/json',
        cookie: `session=${canary(10)}`,
        'x-api-key': canary(11),
        ...headers,
      },
    })
    told.push(`${answer.status} ${await answer.text()} ${JSON.stringify([...answer.headers])}`)
  }
  // What a bot prints is kept without the secrets that the router has read: this one it reads with the first delivery.
  await deliver('tok', { authorization: `Bearer ${canary(4)}` })
  const command = (id: string, script: string, names: string[] = []): Promise<unknown> =>
    client.call('bot.put', {
      bot: { id, endpoint: { kind: 'command', argv: ['/bin/sh', '-c', script], env: names } },
    })
  await client.call('bot.put', {
    bot: { id: 'signed', endpoint: { kind: 'http', url: bot.url, secret: file(6), bearer: file(9) } },
  })
  await command(
    'prints',
    `env; cat ${join(directory, '4.secret')} ${join(directory, '6.secret')} >&2; echo; cat /proc/$PPID/cmdline; exit 1`,
    ['DEPLOY_TOKEN'],
  )
  await command('sees', 'env')
  for (const id of ['signed', 'prints', 'sees'])
    await client.call('trigger.put', {
      trigger: {
        id,
        filter: { payload: { n: [{ exists: true }] } },
        action: { bot_id: id },
        policy: { retry: 'none' },
      },
    })

  await deliverAll(deliver)
  await tell(
    client.call('event.emit', {
      source_id: 'forge',
      type: 'x',
      payload: { n: 2 },
      headers: { authorization: `Bearer ${canary(12)}` },
    }),
  )
  await tell(
    client.call('bot.put', {
      bot: { id: 'in-url', endpoint: { kind: 'http', url: `http://me:${canary(12)}@127.0.0.1:9/` } },
    }),
  )
  await tell(
    client.call('source.put', {
      source: {
        id: 'plain',
        source_type: 'webhook',
        config: { provider: 'forgejo', secrets: [{ value: canary(12) }] } as never,
      },
    }),
  )
  const runs = await until(async () => {
    const { runs: all } = await client.call('run.list', { limit: 100 })
    return all.length >= 12 && all.every(run => run.finished_at !== undefined) && all
  })
  // The child was given what it was told by name, and nothing else of the router's.
  const printed = JSON.stringify(
    await Promise.all(
      runs.filter(run => run.bot_id === 'sees').map(run => client.call('run.history', { run_id: run.id })),
    ),
  )
  expect(printed).toContain('SIGNALBOX_RUN_ID')
  expect(printed).not.toMatch(/FORGE|LAB=|STANDARD|DEPLOY_TOKEN|AWS_SECRET/)
  expect(bot.received[0]!.headers.authorization).toBe(`Bearer ${canary(9)}`)

  await askAll(client, runs, directory, tell)
  told.push(readFileSync(`/proc/${router.process.pid}/cmdline`, 'latin1'))
  client.close()
  router.process.kill('SIGTERM')
  expect(await router.ended).toBe(0)
  told.push(router.said())

  const searched = [
    ...told.map((text, index): [string, string] => [`answer ${index}: ${text.slice(0, 60)}`, text]),
    ...files(directory).map((path): [string, string] => [path, readFileSync(path, 'latin1')]),
  ]
  const found = canariesIn(searched)
  report('P60', `canaries, looked for in ${searched.length} answers, logs and files`, 12, found.length, begun)
  expect(found).toEqual([])
  // Control: what is searched does hold what was said.
  expect(searched.some(([, text]) => text.includes('SIGNALBOX_RUN_ID'))).toBe(true)
  expect(searched.some(([where, text]) => where.endsWith('backup.db') && text.includes('"n":1'))).toBe(true)
  expect(JSON.stringify(told)).toContain('***')
})
