// A connection as its calls see it: which are on their way, what may be sent, and when it is gone.
import type { JSONRPCID } from 'json-rpc-2.0'
import { Slots } from '../turns.ts'
import type { Access } from './access.ts'
import { localPrincipal, type Principal } from './principal.ts'

/** How long an answer waits for a client to read those before it. One that reads takes milliseconds. */
const patienceMs = 2000

/** A kept connection, to which more may be said than it asked for. */
export interface Stream {
  notify(method: string, params: Record<string, unknown>): void
  /** Resolves once the other end has read enough of what was sent, or is gone. */
  room(): Promise<void>
  /** whether there is room now */
  hasRoom(): boolean
  /** aborted when the connection is gone */
  closed: AbortSignal
}

/** What a connection offers beside its answers. */
export interface Line {
  send: (text: string) => void
  /** whether more may be sent before the other end has read */
  hasRoom: () => boolean
  /** whether an answer of so many bytes may be sent */
  fits: (bytes: number) => boolean
  /** Resolves with the next room, or when the connection is gone. */
  drained: () => Promise<void>
}

/** A call on its way. It can be cancelled from its begin on; a signal is made for those that ask for one. */
export class Running {
  readonly id: JSONRPCID
  #cancelled = false
  #controller: AbortController | undefined
  needs_writing = false
  /** takes back what its answer hands out */
  undo: (() => Promise<void>) | undefined

  constructor(id: JSONRPCID) {
    this.id = id
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#cancelled) this.#controller.abort()
    return this.#controller.signal
  }

  cancel(): void {
    this.#cancelled = true
    this.#controller?.abort()
  }
}

/** One connection: its calls that are on their way, and how many they may be. */
export class Caller {
  readonly #most: number
  readonly #line: Line | undefined
  readonly #running = new Set<Running>()
  readonly #closed = new AbortController()
  #writesNoMore = false
  /** nothing was read for so long that its calls do not wait any more */
  #stalled = false
  /** Large answers are made one after another, so that each sees what is not read of those before it. */
  readonly large = new Slots(1)
  /** what its calls may do; undefined: everything */
  readonly access: Access | undefined
  /** a call of it was forbidden */
  forbidden = false
  /** what takes back what answers hand out */
  readonly #undo: (() => Promise<void>)[] = []

  /** line: absent where the connection carries answers only */
  constructor(most: number, line?: Line, access?: Access) {
    this.#most = most
    this.#line = line
    this.access = access
  }

  get principal(): Principal {
    return this.access?.principal ?? localPrincipal
  }

  /** Sends a message that may be dropped: a client that does not read gets no more of them. */
  notify(text: string): void {
    if (this.#line?.hasRoom() === true) this.#line.send(text)
  }

  get stream(): Stream | undefined {
    const line = this.#line
    if (line === undefined) return undefined
    const { signal } = this.#closed
    return {
      notify: (method, params) => line.send(JSON.stringify({ jsonrpc: '2.0', method, params })),
      room: async () => {
        while (!signal.aborted && !line.hasRoom()) await line.drained()
      },
      hasRoom: line.hasRoom,
      closed: signal,
    }
  }

  /** The answer to a call hands something out: undo is called if the answer does not leave. */
  handsOut(running: Running, undo: () => Promise<void>): void {
    running.undo = undo
    // A connection that carries one answer only closes after it.
    if (this.#line === undefined) this.#undo.push(undo)
  }

  /** Whether an answer hands something out. */
  get handedOut(): boolean {
    return this.#undo.length > 0
  }

  /** whether its connection is closed, or its other end writes no more */
  get isClosed(): boolean {
    return this.#closed.signal.aborted
  }

  /** The connection was closed before its answer had left: what it handed out is taken back. */
  async undelivered(): Promise<void> {
    await Promise.all(this.#undo.splice(0).map(undo => undo()))
  }

  /** Whether an answer may be sent: those that are not read may hold only so much. */
  fits(bytes: number): boolean {
    return this.#line?.fits(bytes) ?? true
  }

  /**
   * Resolves once an answer of so many bytes may be sent, or the connection is gone, or nothing was read for 2 s: a client that asks
   * for 32 events of 1 MB together and reads gets all of them, one that does not read blocks no other client.
   */
  async room(bytes: number): Promise<void> {
    const line = this.#line
    if (line === undefined) return
    // The answer before it has been sent by then.
    await new Promise(setImmediate)
    while (!this.gone && !this.#stalled && !line.fits(bytes)) {
      const late = Promise.withResolvers<void>()
      const patience = setTimeout(() => {
        this.#stalled = true
        late.resolve()
      }, patienceMs)
      const read = line.drained().then(() => {
        this.#stalled = false
      })
      await Promise.race([read, late.promise])
      clearTimeout(patience)
    }
  }

  /** undefined where too many are on their way. id: null for a notification. */
  begin(id: JSONRPCID): Running | undefined {
    if (this.#running.size >= this.#most) return undefined
    const running = new Running(id)
    this.#running.add(running)
    return running
  }

  end(running: Running): void {
    this.#running.delete(running)
  }

  /** Answers whether there is a call of this id besides the one that asks. */
  cancel(id: JSONRPCID, asking: Running): boolean {
    const found = [...this.#running].filter(running => running.id === id && running !== asking)
    for (const running of found) running.cancel()
    return found.length > 0
  }

  /** The connection is closed: an answer would only cost. */
  get gone(): boolean {
    return this.#line !== undefined && this.#closed.signal.aborted
  }

  /** The other end writes no more: it may have gone, which only writing to it shows. */
  get writes_no_more(): boolean {
    return this.#writesNoMore
  }

  endWriting(): void {
    this.#writesNoMore = true
    for (const running of this.#running) if (running.needs_writing) running.cancel()
  }

  signal(running: Running, needs_writing: boolean): AbortSignal {
    running.needs_writing = needs_writing
    if (needs_writing && this.#writesNoMore) running.cancel()
    return running.signal
  }

  /** The connection is gone: answers on their way are dropped. */
  close(): void {
    this.#closed.abort()
    for (const running of this.#running) running.cancel()
  }
}
