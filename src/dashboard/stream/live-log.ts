// What a screen shows of a log: its newest page, what the stream adds and changes, and older pages.
import { signal } from '@preact/signals'
import { isAbort } from '../rpc.ts'
import { PerFrame } from './frame.ts'
import { listen } from './hub.ts'
import { withLatest, withOlder, type Identified } from './latest.ts'
import type { Message } from './messages.ts'

/** Rows that are kept in the page; older ones are read again. */
const mostKept = 5000
const askedEveryMs = 2000

interface Page<T> {
  rows: readonly T[]
  next_cursor?: string | undefined
}

export interface LogSource<T> {
  topic: 'events' | 'runs'
  /** Reads a page, newest first. cursor: undefined for the newest */
  read: (cursor: string | undefined, abort: AbortSignal) => Promise<Page<T>>
  /** The row that a message is about. */
  row: (message: Message) => T | undefined
  /** Whether a row belongs to the log; undefined: only the router can judge, so its newest page is read again. */
  has?: ((row: T) => boolean) | undefined
  /** milliseconds since 1970, by which rows are sorted */
  at: (row: T) => number
  /** when a row changed last: an answer may be older than what the stream has said in the meantime */
  changed: (row: T) => number
}

export class LiveLog<T extends Identified> {
  readonly rows = signal<readonly T[]>([])
  /** new rows that are not shown yet, oldest first: the list is paused or scrolled */
  readonly waiting = signal<readonly T[]>([])
  readonly isPaused = signal(false)
  readonly isLoading = signal(true)
  readonly error = signal<unknown>(undefined)
  /** how many the router left out of the stream because too many came */
  readonly skipped = signal(0)
  readonly #source: LogSource<T>
  readonly #frame = new PerFrame<T>(rows => this.#add(rows))
  readonly #abort = new AbortController()
  readonly #stop: () => void
  #cursor: string | undefined
  #isTop = true
  #asking: ReturnType<typeof setTimeout> | undefined

  constructor(source: LogSource<T>) {
    this.#source = source
    // Listening comes first, so that nothing falls between the page and the stream.
    this.#stop = listen(message => this.#hear(message))
    void this.reload()
  }

  stop(): void {
    this.#stop()
    this.#frame.stop()
    this.#abort.abort()
    clearTimeout(this.#asking)
  }

  /** Reads the newest page again. */
  async reload(): Promise<void> {
    await this.#load(undefined, rows => {
      const { at, changed } = this.#source
      const shown = new Map(this.rows.peek().map(row => [row.id, row]))
      const current = rows.map(row => {
        const known = shown.get(row.id)
        return known !== undefined && changed(known) >= changed(row) ? known : row
      })
      const newest = rows[0] === undefined ? 0 : at(rows[0])
      const newer = this.rows.peek().filter(row => at(row) > newest)
      return withLatest(current, newer.toReversed(), mostKept)
    })
  }

  /** Reads the next older page. */
  async older(): Promise<void> {
    if (this.#cursor === undefined || this.isLoading.peek()) return
    await this.#load(this.#cursor, rows => withOlder(this.rows.peek(), rows))
  }

  async #load(cursor: string | undefined, merged: (rows: readonly T[]) => T[]): Promise<void> {
    this.isLoading.value = true
    try {
      const { rows, next_cursor } = await this.#source.read(cursor, this.#abort.signal)
      this.#cursor = next_cursor
      this.rows.value = merged(rows)
      this.error.value = undefined
    } catch (error) {
      if (!isAbort(error)) this.error.value = error
    }
    this.isLoading.value = false
  }

  setTop(isTop: boolean): void {
    this.#isTop = isTop
    if (isTop && !this.isPaused.peek()) this.showWaiting()
  }

  pause(): void {
    this.isPaused.value = !this.isPaused.peek()
    if (!this.isPaused.peek()) this.showWaiting()
  }

  showWaiting(): void {
    if (this.waiting.peek().length === 0) return
    this.rows.value = withLatest(this.rows.peek(), this.waiting.peek(), mostKept)
    this.waiting.value = []
  }

  /** Reads what was left out. */
  async readSkipped(): Promise<void> {
    await this.reload()
    this.skipped.value = 0
  }

  #hear(message: Message): void {
    const { topic, row, has } = this.#source
    if (message.kind === 'gap' && message.topic === topic) void this.reload()
    if (message.kind === 'sampled' && message.topic === topic) this.skipped.value += message.skipped
    const found = row(message)
    if (found === undefined) return
    if (has === undefined) this.#askSoon()
    else this.#frame.add(found)
  }

  #askSoon(): void {
    this.#asking ??= setTimeout(() => {
      this.#asking = undefined
      if (!this.isPaused.peek() && this.#isTop) void this.reload()
    }, askedEveryMs)
  }

  /** Changed rows are changed where they are; new ones are put on top, or wait. */
  #add(came: readonly T[]): void {
    const { has, at } = this.#source
    const gone = new Set(came.filter(row => !has!(row)).map(({ id }) => id))
    const rows = gone.size === 0 ? this.rows.peek() : this.rows.peek().filter(({ id }) => !gone.has(id))
    const wanted = came.filter(({ id }) => !gone.has(id))
    const known = new Set(rows.map(({ id }) => id))
    const oldest = rows.at(-1)
    // A row that is older than what is shown comes with its page.
    const fresh = wanted.filter(
      row => known.has(row.id) || this.#cursor === undefined || oldest === undefined || at(row) >= at(oldest),
    )
    if (this.isPaused.peek() || !this.#isTop) {
      this.rows.value = withLatest(
        rows,
        fresh.filter(({ id }) => known.has(id)),
        mostKept,
      )
      this.waiting.value = withLatest(
        this.waiting.peek().toReversed(),
        fresh.filter(({ id }) => !known.has(id)),
        mostKept,
      ).toReversed()
    } else this.rows.value = withLatest(rows, fresh, mostKept)
  }
}
