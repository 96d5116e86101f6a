// Hand-over between workflows: inboxes, context files (threat T42), emit bots, events of the future, payload schemas.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  contextFiles,
  maxContextBytes,
  maxContextFileBytes,
  nameRefusal,
  numberedNames,
} from '../../src/context-files.ts'
import { contextDirectory } from '../../src/outbound/context-directory.ts'
import { botServer } from '../support/bot-server.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

const sh = (script: string) => ({ kind: 'command' as const, argv: ['/bin/sh', '-c', script] })

async function inbox(endpoint: Record<string, unknown>, workflow_id = 'review'): Promise<TestRouter> {
  const router = await freshRouter()
  await router.call('bot.put', { bot: { id: 'bot', endpoint: endpoint as never } })
  await router.call('event.register', {
    source: { id: 'inbox', source_type: 'dispatch', config: { workflow_id } },
    triggers: [{ id: 'take', filter: { source_id: ['inbox'] }, action: { bot_id: 'bot', workflow_id } }],
  })
  return router
}

/** Everything below a directory, with what files hold. */
function tree(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted()
}

const wicked = [
  '../x',
  '/etc/x',
  'a/../../x',
  'a\0b',
  'a\\b',
  'C:x',
  'CON',
  'con',
  'nul.txt',
  'COM1',
  'lpt9.log',
  'aux.',
  'trailing.',
  'trailing ',
  ' leading',
  '.hidden',
  '..',
  '.',
  '',
  '-rf',
  '--output=x',
  '@file',
  'a b',
  'ä',
  'e\u0301',
  'é',
  'x'.repeat(129),
  'x'.repeat(256),
  'a\nb',
  'a:b',
  'a|b',
  'a*b',
  'a?b',
  '~',
  '$HOME',
  '%2e%2e',
  'a/b',
  '_x',
  '\u202Ex',
  'x\u0000.txt',
  'PRN.tar.gz',
]

describe('names of context files', () => {
  test('what is none is refused whole: nothing is stored or written', async () => {
    const router = await inbox(sh('touch ran'))
    const before = tree(router.directory)
    for (const name of wicked) {
      const context_files = [
        { name: 'fine.txt', content: 'x' },
        { name, content: 'x' },
      ]
      await expect(
        router.call('event.dispatch', { workflow_id: 'review', context_files }),
        JSON.stringify(name),
      ).rejects.toMatchObject({
        code: -32602,
        data: { code: 'E_CONTEXT_NAME', path: 'context_files.1.name' },
      })
    }
    expect(tree(router.directory)).toEqual(before)
    expect((await router.call('event.query', { source_id: 'inbox' })).events).toEqual([])
  })

  test('no two names that one file system takes for one, no more files and bytes than there is room for, and text is text', () => {
    const refusal = (
      files: { name: string; content: string; encoding?: 'utf8' | 'base64' }[],
    ): string | undefined => {
      const answer = contextFiles(files)
      return 'refusal' in answer
        ? `${answer.refusal.index ?? ''} ${answer.refusal.field ?? ''} ${answer.refusal.reason}`
        : undefined
    }
    expect(
      refusal([
        { name: 'A.txt', content: '' },
        { name: 'a.TXT', content: '' },
      ]),
    ).toMatch(/^1 name must be unique, also without regard to case/)
    expect(refusal(Array.from({ length: 33 }, (_, index) => ({ name: `f${index}`, content: '' })))).toMatch(
      /must hold at most 32 files; found 33/,
    )
    expect(
      refusal(Array.from({ length: 32 }, (_, index) => ({ name: `f${index}`, content: '' }))),
    ).toBeUndefined()
    expect(refusal([{ name: 'a', content: 'x'.repeat(maxContextFileBytes) }])).toBeUndefined()
    expect(refusal([{ name: 'a', content: 'ä'.repeat(maxContextFileBytes / 2 + 1) }])).toMatch(
      /^0 content must have at most 1048576 bytes; found 1048578/,
    )
    const four = Array.from({ length: 4 }, (_, index) => ({
      name: `f${index}`,
      content: 'x'.repeat(maxContextBytes / 4),
    }))
    expect(refusal(four)).toBeUndefined()
    expect(refusal([...four, { name: 'more', content: 'x' }])).toMatch(
      /at most 4194304 bytes in all; found more/,
    )
    expect(refusal([{ name: 'a', content: '\ud800' }])).toMatch(/^0 content is no text in UTF-8/)
    expect(refusal([{ name: 'a', content: 'not base64!', encoding: 'base64' }])).toMatch(
      /^0 content is not base64/,
    )
  })

  test('what is taken is a file of its own in the directory and nowhere else', async () => {
    const root = mkdtempSync(join(tmpdir(), 'sb-'))
    onTestFinished(() => rmSync(root, { recursive: true, force: true }))
    const property = fc.asyncProperty(
      fc.array(fc.oneof(fc.stringMatching(/^[\w.-]{1,20}$/), fc.string({ unit: 'binary', maxLength: 20 }))),
      async names => {
        const checked = contextFiles(names.map(name => ({ name, content: name })))
        if ('refusal' in checked) return
        const { path, remove } = await contextDirectory(join(root, 'contexts'), checked.files)
        expect(readdirSync(path).toSorted()).toEqual([...names].toSorted())
        expect(
          tree(root)
            .filter(each => !each.includes('trigger-context'))
            .every(each => /^contexts(\/run-\w+)?$/.test(each)),
        ).toBe(true)
        await remove()
      },
    )
    await fc.assert(property, { numRuns: 300 })
    expect(tree(root)).toEqual(['contexts'])
  })

  test('control: without the check a name leads out of the directory; with it nothing is written', async () => {
    const root = mkdtempSync(join(tmpdir(), 'sb-'))
    onTestFinished(() => rmSync(root, { recursive: true, force: true }))
    const directory = join(root, 'a', 'b')
    mkdirSync(directory, { recursive: true })
    expect(join(directory, '../x').startsWith(directory)).toBe(false)
    const file = { name: '../x', is_text: true, sha256: Buffer.alloc(32), content: Buffer.from('x') }
    expect(nameRefusal(file.name)).toBeDefined()
    await expect(contextDirectory(join(root, 'contexts'), [file])).rejects.toThrow('is no plain file name')
    expect(tree(root)).toEqual(['a', 'a/b', 'contexts'])
  })
})

describe('files of a batch', () => {
  const long = 'x'.repeat(126)
  const names = [`${long}ab`, `${long}cd`, `${'x'.repeat(123)}.yaml`, `${'y'.repeat(125)}.zz`, 'short.txt']

  test('a command has every file, however long the names are', async () => {
    const router = await inbox(sh('cd "$SIGNALBOX_CONTEXT_DIR" && cat * | sort | tr -d "\\n"; ls | wc -l'))
    await router.call('trigger.put', {
      trigger: {
        id: 'take',
        filter: { source_id: ['inbox'] },
        action: { bot_id: 'bot' },
        policy: { batch: { max: 2, timeout_ms: 60_000 } },
      },
    })
    for (const event of ['a', 'b'])
      await router.call('event.dispatch', {
        workflow_id: 'review',
        context_files: names.map((name, index) => ({ name, content: `${event}${index}\n` })),
      })
    const run = await until(async () =>
      (await router.call('run.list', {})).runs.find(
        ({ state }) => state === 'completed' || state === 'failed',
      ),
    )
    const [attempt] = (await router.call('run.history', { run_id: run.id })).attempts
    expect(attempt).toMatchObject({ outcome: 'success', output: 'a0a1a2a3a4b0b1b2b3b410\n' })
  })

  test('an event that emits more files than may go is refused', async () => {
    const router = await inbox({ kind: 'emit', source_id: 'next' })
    await router.call('source.put', { source: { id: 'next', source_type: 'service' } })
    await router.call('trigger.put', {
      trigger: {
        id: 'take',
        filter: { source_id: ['inbox'] },
        action: { bot_id: 'bot' },
        policy: { batch: { max: 2, timeout_ms: 60_000 } },
      },
    })
    const context_files = Array.from({ length: 17 }, (_, index) => ({ name: `f${index}`, content: '' }))
    for (let event = 0; event < 2; event++)
      await router.call('event.dispatch', { workflow_id: 'review', context_files })
    const run = await until(async () =>
      (await router.call('run.list', {})).runs.find(
        ({ state }) => state === 'completed' || state === 'failed',
      ),
    )
    expect(run).toMatchObject({
      state: 'failed',
      error: 'context_files holds 34 files; the limit is 32; nothing was stored',
    })
  })

  test('names stay plain, different and the same each time', () => {
    const name = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{110,126}[a-z0-9]$/)
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { maxLength: 8 }),
        fc.integer({ min: 1, max: 1000 }),
        (own, number) => {
          // What shortening gives may come as a name of its own.
          const given = [
            ...new Set([...own, ...numberedNames(number, own).map(each => each.slice(`${number}-`.length))]),
          ]
          if (given.some(each => nameRefusal(each) !== undefined)) return
          const numbered = numberedNames(number, given)
          expect(numbered).toEqual(numberedNames(number, given))
          expect(new Set(numbered.map(each => each.toLowerCase())).size).toBe(given.length)
          expect(numbered.flatMap(each => nameRefusal(each) ?? [])).toEqual([])
          expect(numbered.every(each => each.startsWith(`${number}-`))).toBe(true)
        },
      ),
    )
  })

  test('control: names that are only cut collide or are refused', () => {
    const cut = names.map(name => `1-${name}`.slice(0, 128))
    expect(new Set(cut).size).toBeLessThan(names.length)
    expect(cut.some(name => nameRefusal(name) !== undefined)).toBe(true)
  })
})

describe('hand-over', () => {
  test('a command finds its files in a fresh private directory, which goes with it', async () => {
    const router = await inbox(
      sh(
        'ls -ld "$SIGNALBOX_CONTEXT_DIR" | cut -c1-10; cd "$SIGNALBOX_CONTEXT_DIR" && ls -l | cut -c1-10 | tail -n +2; cat notes.md; od -An -tx1 image.bin; pwd',
      ),
    )
    const binary = Buffer.from([0, 255, 10, 128])
    const { runs } = await router.call('event.dispatch', {
      workflow_id: 'review',
      payload: { pull_request: 7 },
      context_files: [
        { name: 'notes.md', content: 'grün\n' },
        { name: 'image.bin', content: binary.toString('base64'), encoding: 'base64' },
      ],
    })
    expect((await ended(router, runs[0]!)).state).toBe('completed')
    const output = (await router.call('run.history', { run_id: runs[0]! })).attempts[0]!.output!.split('\n')
    expect(output.slice(0, 5)).toEqual(['drwx------', '-rw-------', '-rw-------', 'grün', ' 00 ff 0a 80'])
    expect(output[5]!.endsWith('/trigger-context')).toBe(true)
    await until(async () => readdirSync(join(router.directory, 'contexts')).length === 0)
    const event = await router.call('event.get', {
      event_id: (await router.call('event.query', { source_id: 'inbox' })).events[0]!.id,
      raw: true,
    })
    expect(event.context_files).toMatchObject([
      { name: 'notes.md', bytes: 6, content: 'grün\n', encoding: 'utf8' },
      { name: 'image.bin', bytes: 4, content: binary.toString('base64'), encoding: 'base64' },
    ])
  })

  test('what leads elsewhere in place of the directory is not followed', async () => {
    const root = mkdtempSync(join(tmpdir(), 'sb-'))
    onTestFinished(() => rmSync(root, { recursive: true, force: true }))
    mkdirSync(join(root, 'elsewhere'))
    symlinkSync(join(root, 'elsewhere'), join(root, 'contexts'))
    const content = Buffer.from('x')
    const { path, remove } = await contextDirectory(join(root, 'contexts'), [
      { name: 'x', is_text: true, sha256: Buffer.alloc(32), content },
    ])
    expect(statSync(join(path, 'x')).mode & 0o777).toBe(0o600)
    expect(statSync(path).mode & 0o777).toBe(0o700)
    await remove()
    expect(tree(join(root, 'elsewhere'))).toEqual([])
  })

  test('others get them in the body; a retry gets the same; 4 MiB go through', async () => {
    const bot = await botServer(
      (_request, response, count) => void response.writeHead(count === 1 ? 503 : 200).end(),
    )
    const router = await inbox({ kind: 'http', url: bot.url })
    const files = Array.from({ length: 4 }, (_, index) => ({
      name: `f${index}.txt`,
      content: String(index).repeat(1_048_576),
    }))
    const { runs } = await router.call('event.dispatch', { workflow_id: 'review', context_files: files })
    expect((await ended(router, runs[0]!)).state).toBe('completed')
    const bodies = bot.received.map(request => JSON.parse(request.body) as { context_files: object })
    expect(bodies).toHaveLength(2)
    for (const body of bodies)
      expect(body.context_files).toEqual(files.map(file => ({ ...file, encoding: 'utf8' })))
  })

  test('an unknown workflow is an error that lists the known ones', async () => {
    const router = await inbox(sh('true'))
    await router.call('bot.put', { bot: { id: 'bot', endpoint: sh('true'), enabled: false } })
    await expect(router.call('event.dispatch', { workflow_id: 'rewiev' })).rejects.toMatchObject({
      code: -32002,
      message:
        'no bot takes work for rewiev: no source of type dispatch has workflow_id "rewiev"; work can be handed to review',
      data: { code: 'E_WORKFLOW', workflows: ['review'] },
    })
    const { runs } = await router.call('event.dispatch', { workflow_id: 'review' })
    expect((await router.call('run.get', { run_id: runs[0]! })).run).toMatchObject({ state: 'pending' })
    await router.call('trigger.disable', { trigger_id: 'take' })
    await expect(router.call('event.dispatch', { workflow_id: 'review' })).rejects.toThrow(
      'no enabled trigger listens to its inbox, source inbox; no workflow can be handed work',
    )
    const twice = { id: 'other', source_type: 'dispatch' as const, config: { workflow_id: 'review' } }
    await expect(router.call('source.put', { source: twice })).rejects.toThrow(
      'has its inbox already, source inbox',
    )
  })

  test('the same key with other files is another hand-over, and refused', async () => {
    const router = await inbox(sh('true'))
    const dispatch = (content: string) =>
      router.call('event.dispatch', {
        workflow_id: 'review',
        idempotency_key: 'k',
        context_files: [{ name: 'a', content }],
      })
    const first = await dispatch('one')
    expect(await dispatch('one')).toMatchObject({ event_id: first.event_id, duplicate: true })
    await expect(dispatch('two')).rejects.toMatchObject({ code: -32008 })
  })
})

describe('emit bots', () => {
  test('a run is an event of another source, with its cause and its files; loops end', async () => {
    const router = await inbox({
      kind: 'emit',
      source_id: 'next',
      type: 'reviewed',
      subject: 'pr {{ event.payload.number }}',
      payload: { of: '{{ event.payload.number }}', by: '{{ run.workflow_id }}' },
    })
    await router.call('source.put', { source: { id: 'next', source_type: 'service' } })
    const { runs, event_id } = await router.call('event.dispatch', {
      workflow_id: 'review',
      payload: { number: 7 },
      context_files: [{ name: 'a.txt', content: 'hi' }],
    })
    expect((await ended(router, runs[0]!)).state).toBe('completed')
    const [line] = (await router.call('event.query', { source_id: 'next' })).events
    const next = await router.call('event.get', { event_id: line!.id })
    expect(next).toMatchObject({
      type: 'reviewed',
      subject: 'pr 7',
      payload: { of: 7, by: 'review' },
      causation: { event_id, run_id: runs[0], depth: 1 },
      delivery_id: runs[0],
    })
    expect(next.context_files).toMatchObject([{ name: 'a.txt', bytes: 2 }])
    await router.call('bot.put', { bot: { id: 'bot', endpoint: { kind: 'emit', source_id: 'inbox' } } })
    await router.call('event.dispatch', { workflow_id: 'review', payload: { number: 8 } })
    await until(
      async () => (await router.call('event.query', { trigger_id: 'take', limit: 100 })).events.length > 3,
    )
    await until(
      async () =>
        (await router.call('run.list', { state: 'pending' })).runs.length === 0 &&
        (await router.call('run.list', { state: 'running' })).runs.length === 0,
    )
    expect((await router.call('event.query', { source_id: 'inbox' })).events.length).toBeLessThan(12)
  })
  test('a source that is not there, or does not take the payload, ends the run with the reason', async () => {
    const router = await inbox({ kind: 'emit', source_id: 'nowhere' })
    const { runs } = await router.call('event.dispatch', { workflow_id: 'review', payload: 1 })
    expect(await ended(router, runs[0]!)).toMatchObject({
      state: 'failed',
      error: 'there is no source nowhere; source.list shows what there is',
    })
    await router.call('source.put', {
      source: { id: 'nowhere', source_type: 'service', config: { payload_schema: { type: 'string' } } },
    })
    const second = await router.call('event.dispatch', { workflow_id: 'review', payload: 1 })
    expect((await ended(router, second.runs[0]!)).error).toBe(
      'payload must be string: source nowhere has a schema for its payloads',
    )
  })
})

describe('what comes in', () => {
  test('payloads pass the schema of their source, or are refused with the path', async () => {
    const router = await freshRouter()
    const payload_schema = {
      type: 'object',
      properties: {
        level: { enum: ['info', 'warn'] },
        job: { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] },
      },
      required: ['job'],
      additionalProperties: false,
    }
    await router.call('source.put', {
      source: { id: 'jobs', source_type: 'service', config: { payload_schema } },
    })
    const emit = (payload: unknown, source_id = 'jobs') =>
      router.call('event.emit', { source_id, type: 'x', payload })
    await emit({ job: { id: 1 }, level: 'info' })
    for (const [payload, path, message] of [
      [
        { job: { id: 'x' } },
        'payload.job.id',
        'payload.job.id must be integer: source jobs has a schema for its payloads',
      ],
      [{ job: {} }, 'payload.job.id', 'payload.job.id is required'],
      [{}, 'payload.job', 'payload.job is required'],
      [{ job: { id: 1 }, extra: 1 }, 'payload', 'must NOT have additional properties ("extra")'],
      [
        { job: { id: 1 }, level: 'debug' },
        'payload.level',
        'must be equal to one of the allowed values ["info","warn"]',
      ],
      [null, 'payload', 'payload must be object'],
    ] as const) {
      await expect(emit(payload)).rejects.toMatchObject({
        code: -32602,
        message: expect.stringContaining(message) as string,
        data: { path },
      })
    }
    await router.call('source.put', {
      source: { id: 'osis', source_type: 'osis_change', config: { object_type: 'task' } },
    })
    await emit({ object_type: 'task', object_id: '1', change: 'updated', more: true }, 'osis')
    await expect(
      emit({ object_type: 'note', object_id: '1', change: 'updated' }, 'osis'),
    ).rejects.toMatchObject({ data: { path: 'payload.object_type' } })
    await expect(emit({ object_type: 'task', object_id: '1' }, 'osis')).rejects.toMatchObject({
      data: { path: 'payload.change' },
    })
  })
  test.each([
    [{ type: 'nonsense' }, 'must be a JSON Schema'],
    [{ properties: { a: { pattern: '(a+)+$' } } }, 'must not have the keyword pattern'],
    [{ $async: true, type: 'string' }, 'must not have the keyword $async'],
    [
      { items: { uniqueItems: true } },
      'must not have the keyword uniqueItems without maxItems of at most 1000',
    ],
    [{ $ref: 'http://127.0.0.1/schema.json' }, 'must not have the keyword $ref to elsewhere'],
    [{ $ref: '#/definitions/none' }, 'must be a JSON Schema'],
  ])('a schema that cannot be used is refused: %j', async (payload_schema, message) => {
    const router = await freshRouter()
    await expect(
      router.call('source.put', {
        source: { id: 'jobs', source_type: 'service', config: { payload_schema } },
      }),
    ).rejects.toThrow(message)
  })
  test('an event of the future is logged now; its runs begin then', async () => {
    const router = await inbox(sh('true'))
    const soon = Date.now() + 600
    const { runs, event_id } = await router.call('event.emit', {
      source_id: 'inbox',
      type: 'dispatch',
      payload: 1,
      deliver_at: soon,
    })
    expect((await router.call('run.get', { run_id: runs[0]! })).run).toMatchObject({
      state: 'pending',
      not_before: soon,
    })
    expect((await router.call('event.get', { event_id })).received_at).toBeLessThan(soon)
    const run = await ended(router, runs[0]!)
    expect(run.finished_at).toBeGreaterThanOrEqual(soon)
    await expect(
      router.call('event.emit', {
        source_id: 'inbox',
        type: 'x',
        payload: 1,
        deliver_at: Date.now() + 400 * 86_400_000,
      }),
    ).rejects.toThrow('at most a year ahead')
  })
  test('manual events have the template of their source, schedules theirs', async () => {
    const router = await freshRouter()
    await router.call('source.put', {
      source: {
        id: 'button',
        source_type: 'manual',
        config: { type: 'pressed', subject: 'door', payload: { a: 1, b: 1 } },
      },
    })
    await router.call('source.put', {
      source: {
        id: 'nightly',
        source_type: 'cron',
        config: { expression: '0 3 * * *', payload: { job: 'backup' } },
      },
    })
    const { event_id } = await router.call('source.fire', { source_id: 'button', payload: { b: 2 } })
    expect(await router.call('event.get', { event_id })).toMatchObject({
      type: 'pressed',
      subject: 'door',
      payload: { a: 1, b: 2 },
    })
    const tick = await router.call('source.fire', { source_id: 'nightly' })
    expect(await router.call('event.get', { event_id: tick.event_id })).toMatchObject({
      type: 'tick',
      payload: { job: 'backup' },
    })
    expect((await router.call('source.ticks', { source_id: 'nightly' })).ticks).toEqual([])
    await router.call('source.put', { source: { id: 'svc', source_type: 'service' } })
    await expect(router.call('source.fire', { source_id: 'svc' })).rejects.toThrow(
      'only manual and cron are fired by hand, use event.emit',
    )
  })
})
