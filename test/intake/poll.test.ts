// Polls and watches on a real router, a real feed server and real commands (promise P31).
import { existsSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PollConfig, Source, SourceInput, WatchConfig } from '../../src/contract/types.ts'
import { judged, type Watched } from '../../src/intake/polls/crossing.ts'
import { nextPage } from '../../src/intake/polls/reading.ts'
import { feedServer, sendFeed } from '../support/feed-server.ts'
import { freshRouter, until, type TestRouter } from '../support/router.ts'

const quick = { poll_min_interval_ms: 20 }
const often = { interval_ms: 20 }

async function put(router: TestRouter, config: PollConfig, id = 'feed'): Promise<void> {
  await router.call('source.put', { source: { id, source_type: 'poll', config: { ...often, ...config } } })
}

async function payloads(router: TestRouter, source_id = 'feed'): Promise<unknown[]> {
  const { events } = await router.call('event.query', { source_id, limit: 500 })
  const whole = await Promise.all(events.map(({ id }) => router.call('event.get', { event_id: id })))
  return whole.map(event => event.payload).toReversed()
}

const source = async (router: TestRouter, source_id = 'feed'): Promise<Source> =>
  (await router.call('source.get', { source_id })).source

/** Waits until a source was read so often more. */
async function read(router: TestRouter, times = 2, source_id = 'feed'): Promise<Source> {
  let [count, last] = [0, -1]
  return until(async () => {
    const found = await source(router, source_id)
    const at = found.health?.read_at ?? -1
    if (at !== last) [count, last] = [count + 1, at]
    return count > times && found
  })
}

describe('a feed over HTTP', () => {
  test('each new item is one event; what did not change is not sent again', async () => {
    let items = [{ id: 1, title: 'one' }]
    const server = await feedServer((_path, headers, response) =>
      sendFeed({ issues: items }, headers, response),
    )
    const router = await freshRouter(quick)
    await put(router, {
      url: `${server.url}/feed`,
      items: '{{ answer.issues }}',
      key: '{{ item.id }}',
      subject: '{{ item.title }}',
      type: 'issue',
    })
    await read(router)
    items = [
      { id: 2, title: 'two' },
      { id: 1, title: 'one, edited' },
      { id: 3, title: 'three' },
    ]
    await until(async () => (await payloads(router)).length === 3)
    await read(router)
    expect(await payloads(router)).toEqual([{ id: 1, title: 'one' }, items[0], items[2]])
    const { events } = await router.call('event.query', { source_id: 'feed', subject: 'two' })
    expect(events).toMatchObject([{ type: 'issue' }])
    expect(server.requests.some(({ headers }) => headers['if-none-match'] !== undefined)).toBe(true)
    expect(await source(router)).toMatchObject({ health: { failures: 0, items: 3 }, event_count: 3 })
  })

  test('a server that says unchanged is asked for all of it now and then, so that what is known of items does not grow old', async () => {
    const server = await feedServer((_path, headers, response) =>
      sendFeed([{ id: 1 }, { id: 2 }], headers, response),
    )
    const router = await freshRouter({ ...quick, retention_ms: 1500, dedupe_ms: 1500 })
    await put(router, { url: server.url, key: '{{ item.id }}' })
    // Answers with all items, a retention apart at the most.
    await until(
      async () => server.requests.filter(({ headers }) => headers['if-none-match'] === undefined).length >= 6,
    )
    expect(server.requests.some(({ headers }) => headers['if-none-match'] !== undefined)).toBe(true)
    expect((await source(router)).event_count).toBe(2)
  })

  test('an item that is forgotten comes again, though the server says that nothing changed', async () => {
    const server = await feedServer((_path, headers, response) =>
      sendFeed([{ id: 'a' }, { id: 'b' }], headers, response),
    )
    const router = await freshRouter(quick)
    await put(router, { url: server.url, key: '{{ item.id }}' })
    await read(router)
    expect(await router.call('source.forget', { source_id: 'feed', key: 'b' })).toEqual({ forgotten: true })
    await until(async () => (await payloads(router)).length === 3)
    await read(router)
    expect(await payloads(router)).toEqual([{ id: 'a' }, { id: 'b' }, { id: 'b' }])
    expect(await router.call('source.forget', { source_id: 'feed', key: 'z' })).toEqual({ forgotten: false })
  })

  test('an item that is forgotten while it is read comes again too', async () => {
    let items = [{ id: 'a' }, { id: 'b' }]
    const asked = Promise.withResolvers<ServerResponse>()
    const server = await feedServer((path, headers, response) => {
      if (path === '/2') asked.resolve(response)
      else
        sendFeed(items, headers, response, items.length > 2 ? { link: `<${server.url}/2>; rel="next"` } : {})
    })
    const router = await freshRouter(quick)
    await put(router, { url: server.url, key: '{{ item.id }}' })
    await read(router)
    items = [...items, { id: 'c' }]
    // That b is known has been found, and is not noted before the second page is there.
    const second = await asked.promise
    expect(await router.call('source.forget', { source_id: 'feed', key: 'b' })).toEqual({ forgotten: true })
    server.answer = (path, headers, response) =>
      path === '/2' ? sendFeed([], headers, response) : sendFeed(items, headers, response)
    sendFeed([], {}, second)
    await until(async () => (await payloads(router)).length === 4)
    await read(router)
    expect(await payloads(router)).toEqual([{ id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'b' }])
  })

  test('pages are followed on the same origin until one has nothing new', async () => {
    const page = (path: string): number => Number(/page=(\d+)/.exec(path)?.[1] ?? 1)
    const server = await feedServer((path, headers, response) =>
      sendFeed([{ id: page(path) * 2 }, { id: page(path) * 2 + 1 }], headers, response, {
        link: `<${server.url}/?page=${page(path) + 1}>; rel="next"`,
      }),
    )
    const router = await freshRouter(quick)
    await put(router, { url: `${server.url}/?page=1`, key: '{{ item.id }}', max_pages: 3 })
    await read(router)
    expect(await payloads(router)).toEqual([2, 3, 4, 5, 6, 7].map(id => ({ id })))
  })

  test('what is more than max_items comes with the next reading', async () => {
    const server = await feedServer((_path, headers, response) =>
      sendFeed(
        Array.from({ length: 7 }, (_, id) => ({ id })),
        headers,
        response,
      ),
    )
    const router = await freshRouter(quick)
    await put(router, { url: server.url, key: '{{ item.id }}', max_items: 3 })
    await until(async () => (await payloads(router)).length === 7)
    await read(router)
    expect(await payloads(router)).toHaveLength(7)
  })

  test('skip_first: what is there at first is known', async () => {
    let items = [{ id: 1 }]
    const server = await feedServer((_path, headers, response) => sendFeed(items, headers, response))
    const router = await freshRouter(quick)
    await put(router, { url: server.url, key: '{{ item.id }}', skip_first: true })
    await read(router)
    items = [{ id: 1 }, { id: 2 }]
    await until(async () => (await payloads(router)).length > 0)
    expect(await payloads(router)).toEqual([{ id: 2 }])
  })
})

describe('what goes wrong is told, slows it down, and costs nothing', () => {
  test.each([
    ['500', (response: ServerResponse) => void response.writeHead(500).end(), 'the server answered 500'],
    [
      'a redirect',
      (response: ServerResponse) =>
        void response.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
      'redirects are not followed',
    ],
    ['no JSON', (response: ServerResponse) => void response.end('<html>'), 'is not JSON; it begins "<html>"'],
    ['no list', (response: ServerResponse) => void response.end('{"a":1}'), 'is no list of items but'],
    [
      'too much',
      (response: ServerResponse) => void response.end(`["${'x'.repeat(2000)}"]`),
      'larger than 1024 bytes',
    ],
    ['a hang-up', (response: ServerResponse) => void response.destroy(), 'UND_ERR_SOCKET'],
  ])('%s', async (_name, answer, error) => {
    const server = await feedServer((_path, _headers, response) => answer(response))
    const router = await freshRouter({ ...quick, poll_max_bytes: 1024 })
    await put(router, { url: server.url })
    const found = await until(async () => {
      const { health } = await source(router)
      return health !== undefined && health.failures > 2 && health
    })
    expect(found.error).toContain(error)
    const told = await router.call('event.query', { source_id: 'router', type: 'source.failing' })
    expect(told.events).toHaveLength(1)
    server.answer = (_path, headers, response) => sendFeed(['well'], headers, response)
    await until(async () => (await payloads(router)).length === 1)
    await until(async () => (await source(router)).health!.failures === 0)
    expect((await source(router)).health!.error).toBeUndefined()
    const recovered = await until(async () => {
      const { events } = await router.call('event.query', { source_id: 'router', type: 'source.recovered' })
      return events.length > 0 && events
    })
    expect(recovered).toHaveLength(1)
  })

  test('Retry-After is waited for', async () => {
    const server = await feedServer(
      (_path, _headers, response) => void response.writeHead(429, { 'retry-after': '3600' }).end(),
    )
    const router = await freshRouter(quick)
    await put(router, { url: server.url })
    await until(async () => (await source(router)).health!.failures > 0)
    expect((await source(router)).next_at! - Date.now()).toBeGreaterThan(3_500_000)
    expect(server.requests).toHaveLength(1)
  })

  test('an item that cannot be used is named, the others come', async () => {
    const server = await feedServer((_path, headers, response) =>
      sendFeed(
        [{ id: 1 }, { name: 'no id' }, { id: 3, big: 'x'.repeat(3000) }, { id: 4 }],
        headers,
        response,
      ),
    )
    const router = await freshRouter({ ...quick, max_body_bytes: 2048 })
    await put(router, { url: server.url, key: '{{ item.id }}' })
    await read(router)
    expect(await payloads(router)).toEqual([{ id: 1 }, { id: 4 }])
    expect((await source(router)).health).toMatchObject({
      failures: 0,
      error: 'item 2 has nothing at its key {{ item.id }}',
    })
  })

  test('numbers that no double holds are different keys, and stay what they are', async () => {
    const server = await feedServer(
      (_path, _headers, response) =>
        void response.end('[{"id": 9007199254740993}, {"id": 9007199254740992}]'),
    )
    const router = await freshRouter(quick)
    await put(router, { url: server.url, key: '{{ item.id }}' })
    await read(router)
    const { events } = await router.call('event.query', { source_id: 'feed' })
    const bodies = await Promise.all(
      events.map(async ({ id }) =>
        Buffer.from(
          (await router.call('event.get', { event_id: id, raw: true })).body_base64!,
          'base64',
        ).toString(),
      ),
    )
    expect(bodies).toEqual(['{"id":9007199254740992}', '{"id":9007199254740993}'])
  })
})

describe('a command', () => {
  const sh = (script: string): PollConfig => ({ command: { argv: ['/bin/sh', '-c', script] } })

  test('its lines are items; its environment is made from nothing', async () => {
    const router = await freshRouter(quick, { WANTED: 'yes', SECRET: 'no' })
    const file = join(router.directory, 'lines')
    writeFileSync(file, 'one\n\ntwo\n')
    await put(router, { ...sh(`cat ${file}; env | grep -c SECRET; echo noise >&2`), format: 'lines' })
    await put(
      router,
      {
        command: { argv: ['/bin/sh', '-c', 'echo "{\\"id\\": \\"$SIGNALBOX_SOURCE_ID\\"}"'] },
        format: 'json_lines',
        key: '{{ item.id }}',
      },
      'self',
    )
    await read(router)
    writeFileSync(file, 'two\nthree\n')
    await until(async () => (await payloads(router)).includes('three'))
    expect(await payloads(router)).toEqual(['one', 'two', '0', 'three'])
    await until(async () => (await payloads(router, 'self')).length > 0)
    expect(await payloads(router, 'self')).toEqual([{ id: 'self' }])
  })

  test.each([
    ['it fails', sh('echo "cannot log in" >&2; exit 3'), 'the command failed, exit code 3: cannot log in'],
    ['it is not there', { command: { argv: ['/no/such/program'] } }, 'is not there or not executable'],
    ['it takes too long', { ...sh('sleep 60'), timeout_ms: 50 }, 'the command was ended after 50 ms'],
    ['it prints without end', { ...sh('yes'), timeout_ms: 300 }, 'the command'],
  ])('%s', async (_name, config, error) => {
    const router = await freshRouter({ ...quick, poll_max_bytes: 4096 })
    await put(router, config)
    const health = await until(async () => {
      const found = (await source(router)).health!
      return found.failures > 0 && found
    })
    expect(health.error).toContain(error)
  })

  test('context_command adds files to each item; one for which it fails comes again', async () => {
    const router = await freshRouter(quick)
    const allowed = join(router.directory, 'allowed')
    const context = `read item; case "$item" in *two*) test -e ${allowed} || { echo not yet >&2; exit 1; };; esac; printf '[{"name": "item.json", "content": "%s"}]' "$(echo "$item" | tr -d '"')"`
    await put(router, {
      ...sh('printf "one\\ntwo\\nthree\\n"'),
      format: 'lines',
      context_command: { argv: ['/bin/sh', '-c', context] },
    })
    await until(async () => ((await source(router)).health?.failures ?? 0) > 0)
    expect((await source(router)).health!.error).toBe(
      'the context_command of item two: the command failed, exit code 1: not yet',
    )
    expect(await payloads(router)).toEqual(['one', 'three'])
    writeFileSync(allowed, '')
    await until(async () => (await payloads(router)).length === 3)
    const { events } = await router.call('event.query', { source_id: 'feed', limit: 1 })
    expect(
      (await router.call('event.get', { event_id: events[0]!.id, raw: true })).context_files,
    ).toMatchObject([{ name: 'item.json', content: 'two' }])
  })

  test('a router that stops ends it', async () => {
    const router = await freshRouter(quick)
    const file = join(router.directory, 'began')
    await put(router, sh(`touch ${file}; sleep 60`))
    await until(async () => existsSync(file))
    await router.router.stop()
  })
})

test.each([
  [{}, 'source.config.url or source.config.command is required'],
  [{ url: 'http://127.0.0.1/', command: { argv: ['x'] } }, 'exclude each other'],
  [{ command: { argv: ['x', '{{ y }}'] } }, 'must be constants'],
  [{ command: { argv: ['x'] }, bearer: { env: 'X' } }, 'says nothing without url'],
  [{ url: 'http://169.254.169.254/' }, 'must be a public address'],
  [{ url: 'file:///etc/passwd' }, 'must be http or https'],
  [{ url: 'http://127.0.0.1/', key: '{{ $uppercase(item.id) }}' }, 'is more than a path'],
  [{ url: 'http://127.0.0.1/', items: '{{ answer.( }}' }, 'source.config.items'],
  [{ url: 'http://127.0.0.1/', interval_ms: 0 }, 'interval_ms'],
  [
    { url: 'http://127.0.0.1/', key: 'id' },
    'source.config.key says nothing of item, so all items would have the same: write {{ item.id }}',
  ],
  [{ url: 'http://127.0.0.1/', key: '{{ itm.id }}' }, 'source.config.key says nothing of item'],
])('what cannot be read is refused: %j', async (config, message) => {
  const router = await freshRouter()
  const source = { id: 'bad', source_type: 'poll', config } as SourceInput
  await expect(router.call('source.put', { source })).rejects.toThrow(message)
})

test('the next page is of the same origin', () => {
  const url = new URL('https://forge.example/api?page=1')
  expect(
    nextPage(
      '<https://forge.example/api?page=2>; rel="next", <https://forge.example/api?page=9>; rel="last"',
      url,
    ),
  ).toBe('https://forge.example/api?page=2')
  expect(nextPage('</api?page=2>; rel=next', url)).toBe('https://forge.example/api?page=2')
  expect(nextPage('<https://evil.example/>; rel="next"', url)).toBeUndefined()
  expect(nextPage('<https://forge.example/api?page=9>; rel="last"', url)).toBeUndefined()
  expect(nextPage(undefined, url)).toBeUndefined()
})

describe('watches', () => {
  const walk = (config: WatchConfig, values: number[], step = 1000): unknown[] => {
    let watched: Watched = {}
    return values.flatMap((value, index) => {
      const answer = judged(watched, value, config, index * step)
      watched = answer.watched
      return answer.crossing === undefined
        ? []
        : [[index, answer.crossing.type, answer.crossing.payload.previous]]
    })
  }
  test('fire on the edge, never on the first reading', () => {
    expect(walk({ above: 90 }, [95, 96, 80, 90, 91, 99, 50, 91])).toEqual([
      [4, 'above', 90],
      [7, 'above', 50],
    ])
    expect(walk({ below: 10 }, [5, 20, 10, 9, 8])).toEqual([[3, 'below', 10]])
    expect(walk({ above: 90, below: 10 }, [50, 91, 9])).toEqual([
      [1, 'above', 50],
      [2, 'below', 91],
    ])
    expect(walk({}, [1, 1, 2, 2, 1])).toEqual([
      [2, 'changed', 1],
      [4, 'changed', 2],
    ])
  })
  test('after an event there is none within the cooldown, and what is still so is told after it', () => {
    expect(walk({ above: 90, cooldown_ms: 3000 }, [50, 91, 50, 91, 95, 95])).toEqual([
      [1, 'above', 50],
      [4, 'above', 50],
    ])
    expect(walk({ above: 90, cooldown_ms: 3000 }, [50, 91, 50, 91, 50, 50])).toEqual([[1, 'above', 50]])
  })
  test('every event is a crossing, whatever the numbers', () => {
    const property = fc.property(
      fc.array(fc.integer({ min: 0, max: 20 })),
      fc.integer({ min: 0, max: 20 }),
      (values, above) => {
        const fired = walk({ above }, values) as [number, string, number][]
        const expected = values.flatMap((value, index) =>
          index > 0 && value > above && values[index - 1]! <= above ? [index] : [],
        )
        expect(fired.map(([index]) => index)).toEqual(expected)
      },
    )
    fc.assert(property)
  })

  test('a number from a command: triggers filter on it, what is no number breaks nothing, a restart fires nothing anew', async () => {
    const router = await freshRouter(quick)
    const file = join(router.directory, 'load')
    const say = async (text: string, health: object): Promise<void> => {
      writeFileSync(file, text)
      await until(async () => {
        const found = (await source(router, 'load')).health ?? {}
        return Object.entries(health).every(
          ([name, value]) => (found as Record<string, unknown>)[name] === value,
        )
      })
    }
    writeFileSync(file, '95')
    const config = { ...often, command: { argv: ['/bin/cat', file] }, above: 90, value: '{{ answer.load }}' }
    await router.call('event.register', {
      source: { id: 'load', source_type: 'watch', config: { ...config, value: '{{ answer }}' } },
    })
    await say('95', { value: 95 })
    await say('50', { value: 50 })
    await say('not a number', {
      error: 'a number was expected; found "not a number"',
      failures: 0,
      value: 50,
    })
    await say('NaN', { error: 'a number was expected; found "NaN"' })
    await say('91', { value: 91 })
    await say('92.5', { value: 92.5 })
    expect(await payloads(router, 'load')).toEqual([{ value: 91, previous: 50, above: 90 }])
    await router.call('source.put', { source: { id: 'load', source_type: 'watch', config } })
    await say('{"load": 99}', { value: 99 })
    await say('{"load": 1}', { value: 1 })
    expect(await payloads(router, 'load')).toHaveLength(1)
    await say('{"load": 1000}', { value: 1000 })
    expect(await payloads(router, 'load')).toHaveLength(2)
  })
})
