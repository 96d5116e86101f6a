// unix_rpc bots: both framings, templates and presets, and what each answer does.
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { defaultDeniedTools } from '../../src/config.ts'
import type { UnixRpcEndpoint } from '../../src/contract/types.ts'
import { ended, freshDirectory, freshRouter, type TestRouter } from '../support/router.ts'
import { rpcService as service } from '../support/rpc-service.ts'

async function runWith(
  endpoint: Partial<UnixRpcEndpoint> & { socket_path: string },
  inputs: Record<string, unknown> = {},
): Promise<{ router: TestRouter; run_id: string }> {
  const router = await freshRouter({ delivery_timeout_ms: 20_000 })
  await router.call('bot.put', { bot: { id: 'bot', endpoint: { kind: 'unix_rpc', ...endpoint } } })
  await router.call('source.put', { source: { id: 's', source_type: 'service' } })
  await router.call('trigger.put', {
    trigger: {
      id: 't',
      filter: { source_id: ['s'] },
      action: { bot_id: 'bot', workflow_id: 'flow-7', inputs },
      policy: { retry: 'none' },
    },
  })
  const { runs } = await router.call('event.emit', {
    source_id: 's',
    type: 'x',
    payload: { a: 'line\nbreak' },
  })
  return { router, run_id: runs[0]! }
}

const good = ({ id }: { id: unknown }): string =>
  JSON.stringify({ jsonrpc: '2.0', id, result: { sid: 'play-1' } })

test.each(['http', 'newline'] as const)(
  "%s: the whole body by default, under the run's id",
  async framing => {
    const { socket_path, calls } = await service(framing, good)
    const { router, run_id } = await runWith(
      { socket_path, framing, method: 'work.do' },
      { who: '{{ type }}' },
    )
    expect(await ended(router, run_id)).toMatchObject({ state: 'completed', result: { sid: 'play-1' } })
    expect(calls).toMatchObject([
      {
        id: run_id,
        method: 'work.do',
        params: {
          run: { id: run_id },
          event: { payload: { a: 'line\nbreak' } },
          inputs: { who: 'x' },
          allowed_tools: null,
          denied_tools: defaultDeniedTools(),
          allowed_denied_tools: [],
        },
      },
    ])
  },
)

test.each([
  [
    'hero_proc',
    {},
    'job.create',
    (id: string): unknown => ({
      context_name: 'core',
      action: 'flow-7',
      inputs: { n: 1 },
      tags: ['signalbox', id],
    }),
  ],
  ['hero_logic', {}, 'play_start', (): unknown => ({ workflow_sid: 'flow-7', input_data: { n: 1 } })],
  [
    'hero_logic_resume',
    { play_sid: 'p1', resume_id: 'r1' },
    'play_resume',
    (): unknown => ({ play_sid: 'p1', resume_id: 'r1', payload_json: '{"a":"line\\nbreak"}' }),
  ],
] as const)('the preset %s', async (preset, more, method, params) => {
  const { socket_path, calls } = await service('http', good)
  const { router, run_id } = await runWith({ socket_path, preset }, { n: 1, ...more })
  expect(await ended(router, run_id)).toMatchObject({ state: 'completed' })
  expect(calls[0]!.method).toBe(method)
  const wanted = params(run_id) as Record<string, unknown>
  expect(calls[0]!.params).toEqual(
    'inputs' in wanted || 'input_data' in wanted ? JSON.parse(JSON.stringify(wanted)) : wanted,
  )
})

test.each(['http', 'newline'] as const)(
  '%s: an error of the caller is final, one of the server is tried again',
  async framing => {
    for (const [code, outcome] of [
      [-32602, 'permanent'],
      [-32601, 'permanent'],
      [-1, 'permanent'],
      [-32603, 'retry'],
      [-32005, 'retry'],
    ] as const) {
      const { socket_path } = await service(framing, ({ id }) =>
        JSON.stringify({ jsonrpc: '2.0', id, error: { code, message: 'no' } }),
      )
      const { router, run_id } = await runWith({ socket_path, framing, method: 'm' })
      expect(await ended(router, run_id)).toMatchObject({
        state: 'failed',
        error: `the bot answered error ${code}: no`,
      })
      expect((await router.call('run.history', { run_id })).attempts).toMatchObject([
        { outcome, status: `error ${code}` },
      ])
    }
  },
)

test.each([
  ['http', 'nonsense', 'is not JSON'],
  ['newline', 'nonsense', 'is not JSON'],
  ['http', '{"jsonrpc":"2.0","id":"another","result":1}', 'no JSON-RPC response to this call'],
  ['newline', '[]', 'no JSON-RPC response to this call'],
  ['http', `{"jsonrpc":"2.0","result":"${'x'.repeat(70_000)}"}`, 'longer than the 65536 bytes'],
  ['newline', `{"jsonrpc":"2.0","result":"${'x'.repeat(70_000)}"}`, 'longer than the 65536 bytes'],
] as const)('%s: an answer that is none: %.20s', async (framing, answer, error) => {
  const { socket_path } = await service(framing, () => answer)
  const { router, run_id } = await runWith({ socket_path, framing, method: 'm' })
  expect((await ended(router, run_id)).error).toContain(error)
})

test.each(['http', 'newline'] as const)('%s: nobody there', async framing => {
  const { router, run_id } = await runWith({
    socket_path: join(freshDirectory(), 'none'),
    framing,
    method: 'm',
  })
  expect((await ended(router, run_id)).error).toContain('ENOENT')
})

test('a bot without method or preset is refused', async () => {
  const { call } = await freshRouter()
  await expect(
    call('bot.put', { bot: { id: 'b', endpoint: { kind: 'unix_rpc', socket_path: '/tmp/x' } } }),
  ).rejects.toMatchObject({
    data: { path: 'bot.endpoint.method' },
  })
})
