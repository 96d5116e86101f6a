// The recipe "Approve a run from a chat message", with the files that it shows.
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { botServer } from '../support/bot-server.ts'
import { signalbox } from '../support/command-line.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

const files = 'examples/approve-from-chat'
const recipe = readFileSync('docs/recipes/approve-from-chat.md', 'utf8')

test.each([
  ['chat.yaml', 'yaml'],
  ['approve.mjs', 'js'],
])('the recipe shows %s as it is', (name, language) => {
  expect(recipe).toContain(`\`\`\`${language}\n${readFileSync(join(files, name), 'utf8')}\`\`\``)
})

interface Chat {
  router: TestRouter
  /** what was written to the chat, newest last */
  written: () => string[]
  say: (
    user: string,
    text: string,
    secret?: string,
  ) => Promise<{ status: number; body: Record<string, unknown> }>
  /** Says it and waits for the answer of the script. */
  answerTo: (user: string, text: string) => Promise<string>
  /** A run that awaits approval, and its short id. */
  deploy: (trigger?: string) => Promise<{ run_id: string; short: string }>
}

async function chat(): Promise<Chat> {
  const bridge = await botServer((_request, response) => void response.writeHead(200).end('{}'))
  const router = await freshRouter({}, { CHAT_SECRET: 'a-secret-of-the-chat' })
  const { call } = router
  const file = join(router.directory, 'chat.yaml')
  const text = readFileSync(join(files, 'chat.yaml'), 'utf8')
  writeFileSync(
    file,
    text
      .replaceAll('/opt/signalbox', resolve('.'))
      .replace('http://127.0.0.1:9000', new URL(bridge.url).origin),
  )
  await call('bot.put', { bot: { id: 'deployer', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  for (const id of ['deploy', 'other'])
    await call('trigger.put', {
      trigger: {
        id,
        event_source_id: 's',
        filter: { type: [id] },
        action: { bot_id: 'deployer' },
        policy: { approval: {} },
      },
    })
  expect(await signalbox(router, ['apply', '-f', file])).toMatchObject({ code: 0 })
  let message = 0
  const say: Chat['say'] = (user, said, secret = 'a-secret-of-the-chat') =>
    router.post('chat', JSON.stringify({ user: { id: user }, text: said }), {
      authorization: `Bearer ${secret}`,
      'idempotency-key': `m${++message}`,
    })
  return {
    router,
    written: () => bridge.received.map(({ body }) => (JSON.parse(body) as { text: string }).text),
    say,
    async answerTo(user, said) {
      const { body } = await say(user, said)
      const { result, error } = await ended(router, (body.runs as string[])[0]!)
      expect(error).toBeUndefined()
      return (result as { answer: string }).answer
    },
    async deploy(trigger = 'deploy') {
      const run_id = (await call('event.emit', { source_id: 's', type: trigger, payload: {} })).runs[0]!
      await until(async () => (await call('run.get', { run_id })).run.state === 'awaiting_approval')
      return { run_id, short: run_id.slice(-8) }
    },
  }
}

test('a listed user approves and denies', { timeout: 60_000 }, async () => {
  const { router, written, answerTo, deploy } = await chat()
  const [one, two] = [await deploy(), await deploy()]
  await until(async () =>
    written().includes(`A run of deploy awaits approval: approve ${one.short}, or deny it`),
  )
  expect(await answerTo('U1', `approve ${one.short}`)).toBe(`approved: ${one.short} of deploy`)
  expect(await ended(router, one.run_id)).toMatchObject({ state: 'completed' })
  const { history } = await router.call('run.history', { run_id: one.run_id })
  expect(history.map(({ reason }) => reason)).toContain('approved by chat user U1 (claimed)')
  expect(await answerTo('U2', `deny ${two.short}`)).toBe(`denied: ${two.short} of deploy`)
  expect((await router.call('run.get', { run_id: two.run_id })).run.state).toBe('held')
  await until(async () => written().includes(`denied: ${two.short} of deploy`))
})

test('everything else approves nothing', { timeout: 60_000 }, async () => {
  const { router, say, answerTo, deploy } = await chat()
  const { run_id, short } = await deploy()
  const other = await deploy('other')
  expect((await say('U1', `approve ${short}`, 'another-secret')).status).toBe(401)
  expect((await say('U3', `approve ${short}`)).body).toMatchObject({ matched_triggers: [] })
  expect((await say('U1', `please approve ${short}`)).body).toMatchObject({ matched_triggers: [] })
  const pwned = join(router.directory, 'pwned')
  for (const text of [
    `approve ${short}; touch ${pwned}`,
    `approve $(touch ${pwned})`,
    `approve --yes`,
    `approve ${run_id}`,
    `approve ${short}\n--as root`,
  ])
    expect(await answerTo('U1', text)).toMatch(/^write: approve or deny/)
  expect(await answerTo('U1', 'approve 00000000')).toBe('no run 00000000 awaits an approval from the chat')
  expect(await answerTo('U1', `approve ${other.short}`)).toContain('no run')
  for (const waits of [run_id, other.run_id])
    expect((await router.call('run.get', { run_id: waits })).run.state).toBe('awaiting_approval')
  expect(() => readFileSync(pwned)).toThrow('ENOENT')
})
