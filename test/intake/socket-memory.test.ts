// P43 on the control socket: what clients that never finish and never read cost a router, a process of its own. Its memory
// is the system's figure (VmHWM: the most that it ever had), so what the garbage collector leaves counts.
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { MessageBudget, UnreadBudget } from '../../src/api/socket-budget.ts'
import { child, firstLine } from '../support/processes.ts'
import { freshDirectory, quiet, until } from '../support/router.ts'
import { size } from '../faults/report.ts'

const mib = 1_048_576
/** RELIABILITY P43. */
const mostMib = 512
const largeEvents = size('SIGNALBOX_LARGE', 40, 60)
/** What a subscriber that reads late reads three times: many times what is sent before it reads. */
const lateEvents = size('SIGNALBOX_LARGE', 16, 60)

interface Measured {
  client: SignalboxClient
  /** a cursor in front of every event */
  first: string
  /** a connection that sends what it is given; it reads only when it is resumed */
  open: (text: string) => Socket
  peakMib: () => number
}

/** A router of its own with large events in its log. */
async function measured(config: Record<string, unknown> = {}, events = largeEvents): Promise<Measured> {
  const directory = freshDirectory()
  const socket = join(directory, 's')
  const file = join(directory, 'config.json')
  writeFileSync(file, JSON.stringify({ ...quiet, state_dir: join(directory, 'state'), socket, ...config }))
  const { pid, stdout } = await started(['src/signalbox.ts', 'serve', '--config', file])
  stdout.resume()
  const client = await SignalboxClient.connect(socket)
  onTestFinished(() => client.close())
  await client.call('source.put', { source: { id: 's', source_type: 'service' } })
  const { cursor } = await client.subscribe({ type: 'none' }, () => undefined)
  const text = 'x'.repeat(mib - 4096)
  for (let index = 0; index < events; index++)
    await client.call('event.emit', { source_id: 's', type: 'large', payload: { index, text } })
  return {
    client,
    first: cursor,
    open(sent) {
      const open = connect(socket)
      open.on('error', () => undefined)
      onTestFinished(() => void open.destroy())
      open.pause()
      open.write(sent)
      return open
    },
    peakMib: () => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024,
  }
}

async function started(command: string[]): Promise<{ pid: number; stdout: NodeJS.ReadableStream }> {
  const process = child(command)
  await firstLine(process)
  return { pid: process.pid!, stdout: process.stdout! }
}

function calls(count: number, method: string, params: object): string {
  return Array.from(
    { length: count },
    (_, id) => `${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`,
  ).join('')
}

/** Another client does what it always does. */
async function othersGoOn({ client }: Measured): Promise<void> {
  for (let index = 0; index < 20; index++) {
    await client.call('event.emit', { source_id: 's', type: 'small', payload: index })
    const { events } = await client.call('event.query', { type: 'small', limit: 1 })
    expect((await client.call('event.get', { event_id: events[0]!.id })).payload).toBe(index)
  }
  // A large answer as well.
  const { events } = await client.call('event.query', { type: 'large', limit: 1 })
  expect(
    (await client.call('event.get', { event_id: events[0]!.id, raw: true })).body_base64!.length,
  ).toBeGreaterThan(mib)
}

describe('a router keeps within its memory', () => {
  test('with 85 subscriptions that are not read', { timeout: 180_000 }, async () => {
    const all = await measured()
    for (let connection = 0; connection < 17; connection++)
      all.open(calls(5, 'event.subscribe', { whole: true, after: all.first }))
    await othersGoOn(all)
    await othersGoOn(all)
    console.log(`P43 peak ${Math.round(all.peakMib())} MiB`)
    expect(all.peakMib()).toBeLessThan(mostMib)
  })

  test('with messages that are half sent', { timeout: 180_000 }, async () => {
    const all = await measured()
    const half = `{"jsonrpc":"2.0","id":1,"method":"event.emit","params":{"source_id":"s","type":"t","payload":"${'x'.repeat(6 * mib)}`
    const open = Array.from({ length: 60 }, () => all.open(half))
    const told = Promise.race(
      open.map(
        socket =>
          new Promise<string>(resolve => socket.once('data', (chunk: Buffer) => resolve(chunk.toString()))),
      ),
    )
    for (const socket of open) socket.resume()
    expect(JSON.parse(await told)).toMatchObject({
      id: null,
      error: { code: -32005, message: expect.stringContaining('max_inflight_body_bytes') as string },
    })
    await othersGoOn(all)
    console.log(`P43 peak ${Math.round(all.peakMib())} MiB`)
    expect(all.peakMib()).toBeLessThan(mostMib)
  })

  test('with answers that are not read', { timeout: 180_000 }, async () => {
    const all = await measured()
    const { events } = await all.client.call('event.query', { type: 'large', limit: 1 })
    for (let connection = 0; connection < 20; connection++)
      all.open(calls(32, 'event.get', { event_id: events[0]!.id, raw: true }))
    await othersGoOn(all)
    await othersGoOn(all)
    console.log(`P43 peak ${Math.round(all.peakMib())} MiB`)
    expect(all.peakMib()).toBeLessThan(mostMib)
  })

  test('control: without a limit answers that are not read are kept', { timeout: 180_000 }, async () => {
    const all = await measured({ max_inflight_body_bytes: 100 * 1024 * mib })
    const { events } = await all.client.call('event.query', { type: 'large', limit: 1 })
    for (let connection = 0; connection < 6; connection++)
      all.open(calls(64, 'event.get', { event_id: events[0]!.id, raw: true }))
    await until(async () => all.peakMib() > mostMib)
  })

  test('with filtered queries over large bodies', { timeout: 180_000 }, async () => {
    const all = await measured()
    const query = { filter: { payload: { index: [-1] } } }
    const asked = Array.from({ length: 10 }, () => all.client.call('event.query', query))
    for (const { events } of await Promise.all(asked)) expect(events).toEqual([])
    await othersGoOn(all)
    console.log(`P43 peak ${Math.round(all.peakMib())} MiB`)
    expect(all.peakMib()).toBeLessThan(mostMib)
  })
})

test('a subscriber that reads late misses nothing', { timeout: 60_000 }, async () => {
  const all = await measured({}, lateEvents)
  const late = all.open(calls(3, 'event.subscribe', { whole: true, after: all.first, type: 'large' }))
  await othersGoOn(all)
  const chunks: Buffer[] = []
  let lines = 0
  late.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++
  })
  late.resume()
  await until(async () => lines === 3 * lateEvents + 3)
  const text = Buffer.concat(chunks).toString('latin1')
  const seen = new Map<string, number[]>()
  for (const line of text.trim().split('\n')) {
    const { method, params } = JSON.parse(line) as {
      method?: string
      params?: { subscription: string; event: { payload: { index: number } } }
    }
    if (method === 'event.logged')
      seen.set(params!.subscription, [...(seen.get(params!.subscription) ?? []), params!.event.payload.index])
  }
  const wanted = Array.from({ length: lateEvents }, (_, index) => index)
  expect([...seen.values()]).toEqual([wanted, wanted, wanted])
})

describe('the budget of messages', () => {
  test('refuses the oldest unfinished ones first, and no small ones', () => {
    const budget = new MessageBudget(100_000)
    const refused: string[] = []
    const grow = (name: string, owner: object, bytes: number): void =>
      budget.grow(owner, bytes, () => refused.push(name))
    const [small, first, second] = [{}, {}, {}]
    grow('small', small, 1000)
    grow('first', first, 60_000)
    grow('second', second, 60_000)
    expect(refused).toEqual(['first'])
    grow('second', second, 60_000)
    expect(refused).toEqual(['first', 'second'])
    budget.finish(small)
    expect(budget.bytes).toBe(0)
  })

  test('takes small messages always, and no large one beyond it', () => {
    const budget = new MessageBudget(100_000)
    const release = budget.hold(90_000)!
    expect(budget.hold(20_000)).toBeUndefined()
    expect(budget.hold(1000)).toBeDefined()
    release()
    budget.hold(20_000)!()
    expect(budget.bytes).toBe(0)
  })
})

test('a client that reads is not closed in place of one that does not', () => {
  const sockets = new Set<Socket>()
  const socket = (): Socket => {
    const made = {
      destroyed: false,
      bytesWritten: 0,
      writableLength: 0,
      destroy: () => void Object.assign(made, { destroyed: true }),
    }
    sockets.add(made as unknown as Socket)
    return made as unknown as Socket
  }
  const send = (to: Socket, bytes: number): void =>
    void Object.assign(to, {
      bytesWritten: to.bytesWritten + bytes,
      writableLength: to.writableLength + bytes,
    })
  const [reader, silent, other] = [socket(), socket(), socket()]
  const budget = new UnreadBudget(mib, sockets)
  for (let turn = 0; turn < 8; turn++) {
    // Whenever somebody looks, an answer is on its way to each; those before it were read by the first one alone.
    Object.assign(reader, { writableLength: 0 })
    for (const each of sockets) send(each, 100_000)
    send(other, 1)
    budget.trim()
  }
  expect([reader.destroyed, silent.destroyed]).toEqual([false, true])
})
