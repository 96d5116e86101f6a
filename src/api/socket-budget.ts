// What the clients of the control socket may cost in memory together: messages that are not complete or not answered yet,
// and answers that are not read. Each has one limit for the whole socket, because 64 connections that each stay below a
// limit of their own are 64 times that limit (P43). The client that waits longest gives way: one that never sends the rest or never
// reads is that sooner or later, and those that do go on.
import type { Socket } from 'node:net'

/** A small message is always taken: 64 connections of 64 calls of this size are 16 MiB. */
const smallBytes = 4096
/** What a chunk costs beside its bytes: a message that comes byte by byte is as good as one of 250 times its size. */
const chunkBytes = 256

/** A connection that holds no more than this is never closed for it: 64 of them are 4 MiB. */
const littleBytes = 65_536

/** Messages that are on their way in, or are being answered. */
export class MessageBudget {
  readonly limit: number
  #bytes = 0
  /** unfinished ones, oldest first, and how each is refused */
  readonly #unfinished = new Map<object, { bytes: number; refuse: () => void }>()

  constructor(limit: number) {
    this.limit = limit
  }

  get bytes(): number {
    return this.#bytes
  }

  /** A chunk of an unfinished message. Where there is no room the oldest ones are refused, be it this one. */
  grow(owner: object, bytes: number, refuse: () => void): void {
    const held = this.#unfinished.get(owner) ?? { bytes: 0, refuse }
    held.bytes += bytes + chunkBytes
    this.#bytes += bytes + chunkBytes
    this.#unfinished.set(owner, held)
    this.#makeRoom()
  }

  /** An unfinished message is complete, or its connection is gone. */
  finish(owner: object): void {
    this.#bytes -= this.#unfinished.get(owner)?.bytes ?? 0
    this.#unfinished.delete(owner)
  }

  /** Holds a complete message while it is answered; undefined: there is no room for it. Answers how to let it go. */
  hold(bytes: number): (() => void) | undefined {
    if (bytes <= smallBytes) return () => undefined
    this.#bytes += bytes
    this.#makeRoom()
    if (this.#bytes > this.limit) {
      this.#bytes -= bytes
      return undefined
    }
    return () => {
      this.#bytes -= bytes
    }
  }

  #makeRoom(): void {
    for (const [owner, { bytes, refuse }] of this.#unfinished) {
      if (this.#bytes <= this.limit) return
      // Nothing is won by refusing a small one.
      if (bytes <= smallBytes) continue
      this.finish(owner)
      refuse()
    }
  }
}

/** What a socket holds that the other end has not read; one that was closed a moment ago holds nothing any more. */
function unread(socket: Socket): number {
  return socket.destroyed ? 0 : socket.writableLength
}

/** Answers and notifications that wait to be read. */
export class UnreadBudget {
  readonly limit: number
  readonly #sockets: ReadonlySet<Socket>
  /** sockets that have something to send, and what they had sent when they were last looked at; those that wait longest first */
  readonly #waiting = new Map<Socket, number>()

  constructor(limit: number, sockets: ReadonlySet<Socket>) {
    this.limit = limit
    this.#sockets = sockets
  }

  get bytes(): number {
    let bytes = 0
    for (const socket of this.#sockets) bytes += unread(socket)
    return bytes
  }

  /** Whether an answer may be sent: to a client that has read everything always, so that it goes on whatever others do. */
  fits(socket: Socket, bytes: number): boolean {
    return bytes <= smallBytes || socket.writableLength === 0 || this.bytes + bytes <= this.limit
  }

  /**
   * After something was sent: closes the connections that wait longest to be read, until the others fit. The last one to wait is
   * left: what it was answered alone may be more than the limit, and a client that reads would never get it, however often it asks.
   */
  trim(): void {
    let bytes = 0
    for (const socket of this.#sockets) {
      bytes += unread(socket)
      const sent = socket.bytesWritten - unread(socket)
      // One that has read since then waits from now on: a client that always has an answer on its way is not the one that never reads.
      if (this.#waiting.get(socket) !== sent) this.#waiting.delete(socket)
      if (unread(socket) > 0) this.#waiting.set(socket, sent)
    }
    const last = [...this.#waiting.keys()].findLast(
      socket => this.#sockets.has(socket) && unread(socket) > littleBytes,
    )
    for (const socket of this.#waiting.keys()) {
      if (!this.#sockets.has(socket)) this.#waiting.delete(socket)
      // One that holds little may only have been answered in this turn, and nothing is won by closing it.
      else if (bytes > this.limit && unread(socket) > littleBytes && socket !== last) {
        bytes -= unread(socket)
        this.#waiting.delete(socket)
        socket.destroy()
      }
    }
  }

  /** A socket has sent everything: it does not wait any more. */
  drained(socket: Socket): void {
    this.#waiting.delete(socket)
  }
}
