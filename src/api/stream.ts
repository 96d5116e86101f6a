// GET /stream: events, runs and the output of a run as server-sent events, with one cursor over all of them.
//
// What is sent is read when the reader has taken what was sent before: nothing is kept for a slow reader, which is told how much it
// missed instead. A cursor has a part for each topic, so a reader that comes back goes on where it was in each.
import type { ServerResponse } from 'node:http'
import type { MethodContract } from '../contract/validators.ts'
import { asFault, Fault } from '../errors.ts'
import type { EventLine } from '../store/store.ts'
import { shownLine } from './methods/event.ts'
import { shownPage } from './methods/output.ts'
import { shownRun } from './methods/shown-run.ts'
import type { Context } from './methods/context.ts'
import type { Principal } from './principal.ts'
import { cursorText, type StreamCursor, type StreamRequest, type Topic } from './stream-request.ts'

/** Events, and runs, that one stream is sent in a second; of more than these it is sent the last ones. */
export const mostPerSecond = 200
const atOnce = 100
const heartbeatMs = 15_000
const retryMs = 2000
/** Beats for which a reader may take nothing: a minute. */
const mostBeats = 4
/** Streams of one token, or of one login. */
const mostStreams = 16
const outputBytes = 65_536

export interface StreamOptions {
  context: Pick<Context, 'store' | 'changes' | 'runs'>
  contract: ReadonlyMap<string, MethodContract>
  /** wakes when there may be something new */
  wakes: Wakes
  /** whether the principal is still valid */
  isValid: (principal: Principal) => boolean
  /** between two comments. Default: 15 s */
  heartbeat_ms?: number
  logBug: (error: unknown) => void
}

/** Those that wait for something new. */
export class Wakes {
  #next = Promise.withResolvers<void>()
  #waiting = 0

  get waiting(): number {
    return this.#waiting
  }

  /** There is something new. */
  wake(): void {
    if (this.#waiting === 0) return
    this.#next.resolve()
    this.#next = Promise.withResolvers()
  }

  /** Resolves with the next wake, or when a signal is aborted. What is new after the call of this is not missed. */
  wait(): { woken: Promise<void>; done: () => void } {
    this.#waiting++
    return { woken: this.#next.promise, done: () => void this.#waiting-- }
  }
}

/** How many entries of a topic may be sent in this second. A reader that comes back is sent everything until it has caught up. */
class Allowance {
  #second = 0
  #sent = 0
  isLive = false

  left(now: number): number {
    if (!this.isLive) return mostPerSecond
    const second = Math.floor(now / 1000)
    if (second !== this.#second) [this.#second, this.#sent] = [second, 0]
    return mostPerSecond - this.#sent
  }

  take(): void {
    this.#sent++
  }
}

/** One stream: what it was sent, and the connection. */
class OpenStream {
  readonly #options: StreamOptions
  readonly #response: ServerResponse
  readonly #request: StreamRequest
  readonly #principal: Principal
  readonly #closed = new AbortController()
  readonly #allowances = { events: new Allowance(), runs: new Allowance() }
  #cursor: StreamCursor
  /** beats in a row before which the reader had taken nothing */
  #beatsUnread = 0

  constructor(
    options: StreamOptions,
    response: ServerResponse,
    principal: Principal,
    request: StreamRequest,
    cursor: StreamCursor,
  ) {
    this.#options = options
    this.#response = response
    this.#principal = principal
    this.#request = request
    this.#cursor = cursor
    response.once('close', () => this.#closed.abort())
  }

  #send(event: string, data: unknown): void {
    this.#response.write(
      `id: ${cursorText(this.#cursor)}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`,
    )
  }

  /** Resolves once what was sent has been taken, or the connection is closed. */
  async #room(): Promise<void> {
    if (!this.#response.writableNeedDrain || this.#closed.signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = (): void => resolve()
    this.#response.once('drain', done)
    this.#closed.signal.addEventListener('abort', done, { once: true })
    await promise
    this.#response.off('drain', done)
  }

  async run(): Promise<void> {
    this.#response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'x-accel-buffering': 'no',
    })
    this.#response.write(`retry: ${retryMs}\n`)
    this.#send('ready', { topics: this.#request.topics })
    const beat = setInterval(() => this.#beat(), this.#options.heartbeat_ms ?? heartbeatMs)
    try {
      await this.#gaps()
      await this.#tell()
    } finally {
      clearInterval(beat)
    }
  }

  /** A comment shows proxies that the connection is used. A stream whose token has ended, or that is not read, ends. */
  #beat(): void {
    this.#beatsUnread = this.#response.writableNeedDrain ? this.#beatsUnread + 1 : 0
    if (!this.#options.isValid(this.#principal)) this.#response.end()
    else if (this.#beatsUnread >= mostBeats) this.#response.destroy()
    else if (this.#beatsUnread === 0) this.#response.write(': \n\n')
  }

  async #tell(): Promise<void> {
    const { signal } = this.#closed
    while (!signal.aborted) {
      const { woken, done } = this.#options.wakes.wait()
      try {
        let [more, limited] = [false, false]
        for (const topic of this.#request.topics) {
          await this.#room()
          if (signal.aborted) return
          const told = await this.#news(topic)
          more ||= told === 'more'
          limited ||= told === 'limited'
        }
        if (!more) await this.#pause(limited ? nextSecond(Date.now()) : undefined, woken)
      } finally {
        done()
      }
    }
  }

  /** Waits for the next news, at most so many milliseconds. */
  async #pause(ms: number | undefined, woken: Promise<void>): Promise<void> {
    const { promise: over, resolve } = Promise.withResolvers<void>()
    const stop = (): void => resolve()
    this.#closed.signal.addEventListener('abort', stop, { once: true })
    const timer = ms === undefined ? undefined : setTimeout(stop, ms)
    await (ms === undefined ? Promise.race([over, woken]) : over)
    clearTimeout(timer)
    this.#closed.signal.removeEventListener('abort', stop)
  }

  #news(topic: Topic): Promise<'more' | 'limited' | 'none'> {
    if (topic === 'events') return this.#events()
    return topic === 'runs' ? this.#runs() : this.#output()
  }

  /** Reports what was missed before the reader's cursor. */
  async #gaps(): Promise<void> {
    const { topics, resumed } = this.#request
    const { store, changes } = this.#options.context
    if (resumed === undefined) return
    if (topics.includes('events') && resumed.events !== undefined) {
      const [next, last] = await Promise.all([store.nextSeq(resumed.events), store.lastSeq()])
      if (resumed.events > last) this.#cursor = { ...this.#cursor, events: last }
      if (resumed.events > last || (next !== null && next > resumed.events + 1))
        this.#send('gap', { topic: 'events' })
    }
    if (
      topics.includes('runs') &&
      resumed.runs !== undefined &&
      typeof changes.find(resumed.runs) !== 'number'
    ) {
      this.#cursor = { ...this.#cursor, runs: changes.place(changes.now) }
      this.#send('gap', { topic: 'runs' })
    }
  }

  /** Jumps to the last events if more are waiting than may be sent. */
  async #skipEvents(): Promise<void> {
    const after = this.#cursor.events!
    const last = await this.#options.context.store.lastSeq()
    const skipped = last - after - mostPerSecond
    if (skipped <= 0) return
    this.#cursor = { ...this.#cursor, events: after + skipped }
    this.#send('sampled', { topic: 'events', skipped })
  }

  async #events(): Promise<'more' | 'limited' | 'none'> {
    const allowance = this.#allowances.events
    const room = allowance.left(Date.now())
    if (room <= 0) return 'limited'
    if (allowance.isLive && room === mostPerSecond) await this.#skipEvents()
    const { selection } = this.#request
    const found = (await this.#options.context.store.events({
      selection,
      order: 'asc',
      limit: Math.min(atOnce, room),
      after: this.#cursor.events!,
      whole: false,
    })) as EventLine[]
    for (const line of found) {
      this.#cursor = { ...this.#cursor, events: line.seq }
      allowance.take()
      this.#send('event', shownLine(line))
    }
    allowance.isLive ||= found.length < atOnce
    return found.length > 0 ? 'more' : 'none'
  }

  async #runs(): Promise<'more' | 'limited' | 'none'> {
    const { changes, store } = this.#options.context
    const allowance = this.#allowances.runs
    const room = allowance.left(Date.now())
    if (room <= 0) return 'limited'
    const after = changes.find(this.#cursor.runs!)
    if (typeof after !== 'number') {
      this.#cursor = { ...this.#cursor, runs: changes.place(changes.now) }
      this.#send('gap', { topic: 'runs' })
      return 'more'
    }
    let found = changes.after(after, 20_000)
    allowance.isLive ||= found.length < atOnce
    if (allowance.isLive && room === mostPerSecond && found.length > mostPerSecond) {
      const skipped = found.length - mostPerSecond
      this.#cursor = { ...this.#cursor, runs: changes.place(found[skipped - 1]!.seq) }
      this.#send('sampled', { topic: 'runs', skipped })
      found = found.slice(skipped)
    }
    for (const { run_id, seq } of found.slice(0, Math.min(atOnce, room))) {
      const run = await store.run(run_id)
      this.#cursor = { ...this.#cursor, runs: changes.place(seq) }
      if (run === null || !this.#isWanted(run)) continue
      allowance.take()
      this.#send('run', this.#reduced('run.get', { run: shownRun(this.#options.context, run) }))
      await this.#room()
      if (this.#closed.signal.aborted) return 'none'
    }
    return found.length > 0 ? 'more' : 'none'
  }

  #isWanted({ id, trigger_id, bot_id }: { id: string; trigger_id: string; bot_id: string }): boolean {
    const { run_id, selection, bot_id: bot } = this.#request
    return (
      (run_id ?? id) === id &&
      (selection.trigger_id ?? trigger_id) === trigger_id &&
      (bot ?? bot_id) === bot_id
    )
  }

  /** All output is sent, in pages that the reader takes one by one. */
  async #output(): Promise<'more' | 'limited' | 'none'> {
    const { store } = this.#options.context
    const run_id = this.#request.run_id!
    const { attempt, offset } = this.#cursor.output ?? { attempt: 0, offset: 0 }
    const run = await store.run(run_id)
    if (run === null || run.attempt === 0) return 'none'
    const at = attempt === 0 ? { attempt: run.attempt, offset: 0 } : { attempt, offset }
    const page = await store.output({ run_id, attempt: at.attempt, after: at.offset, max_bytes: outputBytes })
    if (page === null) return 'none'
    const shown = shownPage(run_id, page, at.offset)
    if (shown.parts.length > 0) {
      this.#cursor = { ...this.#cursor, output: { attempt: at.attempt, offset: shown.next } }
      this.#send('output', shown)
      return 'more'
    }
    // The next attempt begins at its beginning.
    if (!shown.finished || run.attempt <= at.attempt) return 'none'
    this.#cursor = { ...this.#cursor, output: { attempt: at.attempt + 1, offset: 0 } }
    return 'more'
  }

  #reduced(method: 'run.get', result: unknown): unknown {
    return this.#principal.scopes.has('payload')
      ? result
      : this.#options.contract.get(method)!.withoutPayload(result)
  }
}

function nextSecond(now: number): number {
  return 1000 - (now % 1000)
}

/** Where a stream begins: at the cursor that the reader came with, or now. */
async function beginning(
  { store, changes }: Pick<StreamOptions['context'], 'store' | 'changes'>,
  { topics, resumed }: StreamRequest,
): Promise<StreamCursor> {
  return {
    ...(topics.includes('events') ? { events: resumed?.events ?? (await store.lastSeq()) } : {}),
    ...(topics.includes('runs') ? { runs: resumed?.runs ?? changes.place(changes.now) } : {}),
    ...(topics.includes('output') && resumed?.output !== undefined ? { output: resumed.output } : {}),
  }
}

/** Throws Fault forbidden for a topic that the principal may not see. */
function assertScopes({ id, scopes }: Principal, { topics }: StreamRequest): void {
  const missing = !scopes.has('read')
    ? 'read'
    : topics.includes('output') && !scopes.has('payload')
      ? 'payload'
      : undefined
  if (missing === undefined) return
  const what = missing === 'payload' ? 'the topic output' : 'GET /stream'
  throw new Fault('forbidden', `${what} needs the scope ${missing}; ${id} has ${[...scopes].join(', ')}`, {
    data: { scope: missing },
  })
}

/** The streams that are open. */
export class Streams {
  readonly #options: StreamOptions
  readonly #open = new Map<string, number>()

  constructor(options: StreamOptions) {
    this.#options = options
  }

  get count(): number {
    return [...this.#open.values()].reduce((sum, each) => sum + each, 0)
  }

  /** Streams until the reader closes the connection. Throws Fault before anything is sent. */
  async serve(response: ServerResponse, principal: Principal, request: StreamRequest): Promise<void> {
    assertScopes(principal, request)
    const key = principal.login ?? principal.id
    const open = this.#open.get(key) ?? 0
    if (open >= mostStreams)
      throw new Fault(
        'rate_limited',
        `${principal.id} has ${open} streams; at most ${mostStreams} may be open at the same time`,
        { reason: 'E_STREAMS' },
      )
    this.#open.set(key, open + 1)
    try {
      await this.#stream(response, principal, request)
    } finally {
      const left = this.#open.get(key)! - 1
      if (left === 0) this.#open.delete(key)
      else this.#open.set(key, left)
    }
  }

  async #stream(response: ServerResponse, principal: Principal, request: StreamRequest): Promise<void> {
    const { context, logBug } = this.#options
    if (request.run_id !== undefined && (await context.store.run(request.run_id)) === null)
      throw new Fault('not_found', `there is no run ${request.run_id}; run.list shows the runs`)
    const cursor = await beginning(context, request)
    try {
      await new OpenStream(this.#options, response, principal, request, cursor).run()
    } catch (error) {
      if (!response.headersSent) throw error
      if (!(error instanceof Fault)) logBug(error)
      const { code, message, reason } = asFault(error)
      response.end(`event: error\ndata: ${JSON.stringify({ code, message, data: { code: reason } })}\n\n`)
    }
  }
}
