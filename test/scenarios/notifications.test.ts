// docs/notifications.md: its example is applied, and its commands are run.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { blocksOf } from '../support/documents.ts'
import { botServer, type BotServer } from '../support/bot-server.ts'
import { signalbox } from '../support/command-line.ts'
import { ended, freshRouter, type TestRouter } from '../support/router.ts'

const page = readFileSync('docs/notifications.md', 'utf8')
const block = (language: string): string => blocksOf(page, language)[0]!
const commands = block('sh').trim().split('\n')

async function example(status = 200): Promise<{ router: TestRouter; server: BotServer; file: string }> {
  const server = await botServer(
    (_request, response) =>
      void response.writeHead(status).end(status === 200 ? '{"id":"x"}' : '{"error":"unauthorized"}'),
  )
  const router = await freshRouter({}, { NTFY_TOKEN: 'tk_0123456789' })
  const file = join(router.directory, 'notifications.yaml')
  writeFileSync(
    file,
    block('yaml')
      .replace('https://ntfy.example.org', new URL(server.url).origin)
      .replace('timeout_ms: 10000', 'timeout_ms: 500'),
  )
  return { router, server, file }
}

const words = (command: string, file: string): string[] =>
  command.replace('notifications.yaml', file).split(' ').slice(1)

test('the commands of the page run', async () => {
  const { router, server, file } = await example()
  expect(commands).toHaveLength(2)
  for (const command of commands)
    expect(await signalbox(router, words(command, file)), command).toMatchObject({ code: 0 })
  expect(JSON.parse(server.received[0]!.body)).toMatchObject({
    title: 'Signalbox test message',
    message: 'Bot people can send messages.',
  })
})

test('a message that is not accepted: the answer, and exit code 1', async () => {
  const { router, file } = await example(401)
  await signalbox(router, words(commands[0]!, file))
  const { code, out, err } = await signalbox(router, words(commands[1]!, file))
  expect([code, out.includes('HTTP 401'), err.includes('ntfy answered 401: unauthorized')]).toEqual([
    1,
    true,
    true,
  ])
})

test('several runs of one trigger that fail make one message', async () => {
  const { router, server, file } = await example()
  await signalbox(router, words(commands[0]!, file))
  await router.call('bot.put', { bot: { id: 'failer', endpoint: { kind: 'command', argv: ['/bin/false'] } } })
  await router.call('source.put', { source: { id: 's', source_type: 'service' } })
  await router.call('trigger.put', {
    trigger: {
      id: 'build',
      filter: { source_id: ['s'] },
      action: { bot_id: 'failer' },
      policy: { retry: 'none' },
    },
  })
  const emitted = await Promise.all(
    [1, 2, 3].map(n => router.call('event.emit', { source_id: 's', type: 'push', payload: { n } })),
  )
  for (const { runs } of emitted) await ended(router, runs[0]!)
  const { title, message } = JSON.parse((await server.nth(1)).body) as { title: string; message: string }
  expect(title).toBe('3 events, first: Run failed: build')
  expect(message).toContain('3. Run failed: build')
})
