// The events that the screen shows: a page of the log, what the stream adds to it, and older pages.
import { signal } from '@preact/signals'
import type { EventQueryParams, EventSummary } from '../../contract/types.ts'
import { call, isAbort } from '../rpc.ts'
import { PerFrame } from '../stream/frame.ts'
import { listen } from '../stream/hub.ts'
import { withLatest, withOlder } from '../stream/latest.ts'
import type { Message } from '../stream/messages.ts'
import { isSelected, isSimple } from './selection.ts'

/** Events that are kept in the page; older ones are read again. */
const mostKept = 5000
const pageSize = 100

export class EventLog {
  readonly rows = signal<readonly EventSummary[]>([])
  /** new events that are not shown yet, oldest first: the list is paused or scrolled */
  readonly waiting = signal<readonly EventSummary[]>([])
  readonly isPaused = signal(false)
  readonly isLoading = signal(true)
  readonly error = signal<unknown>(undefined)
  /** events that the router left out of the stream because too many came */
  readonly skipped = signal(0)
  readonly #selection: EventQueryParams
  readonly #frame = new PerFrame<EventSummary>(events => this.#add(events))
  readonly #abort = new AbortController()
  readonly #stop: () => void
  #cursor: string | undefined
  #isTop = true
  #changed: ReturnType<typeof setTimeout> | undefined

  constructor(selection: EventQueryParams) {
    this.#selection = selection
    // Listening comes first, so that nothing falls between the page and the stream.
    this.#stop = listen(message => this.#hear(message))
    void this.reload()
  }

  stop(): void {
    this.#stop()
    this.#frame.stop()
    this.#abort.abort()
    clearTimeout(this.#changed)
  }

  /** Reads the newest page again. */
  async reload(): Promise<void> {
    this.isLoading.value = true
    try {
      const { events, next_cursor } = await call('event.query', { ...this.#selection, limit: pageSize }, this.#abort.signal)
      this.#cursor = next_cursor
      // What the stream said in between is newer than the page.
      const newer = this.rows.peek().filter(({ received_at }) => received_at > (events[0]?.received_at ?? 0))
      this.rows.value = withLatest(events, newer.toReversed(), mostKept)
      this.error.value = undefined
    } catch (error) {
      if (!isAbort(error)) this.error.value = error
    }
    this.isLoading.value = false
  }

  /** Reads the next older page. */
  async older(): Promise<void> {
    if (this.#cursor === undefined || this.isLoading.peek()) return
    this.isLoading.value = true
    try {
      const { events, next_cursor } = await call('event.query', { ...this.#selection, limit: pageSize, cursor: this.#cursor }, this.#abort.signal)
      this.#cursor = next_cursor
      this.rows.value = withOlder(this.rows.peek(), events)
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

  #hear(message: Message): void {
    if (message.kind === 'gap' && message.topic === 'events') void this.reload()
    if (message.kind === 'sampled' && message.topic === 'events') this.skipped.value += message.skipped
    if (message.kind !== 'event') return
    if (!isSimple(this.#selection)) this.#askSoon()
    else if (isSelected(message.event, this.#selection)) this.#frame.add(message.event)
  }

  /** The router judges: the newest page is read again, at most once in 2 s. */
  #askSoon(): void {
    this.#changed ??= setTimeout(() => {
      this.#changed = undefined
      if (!this.isPaused.peek() && this.#isTop) void this.reload()
    }, 2000)
  }

  #add(events: EventSummary[]): void {
    if (this.isPaused.peek() || !this.#isTop) this.waiting.value = withLatest(this.waiting.peek().toReversed(), events, mostKept).toReversed()
    else this.rows.value = withLatest(this.rows.peek(), events, mostKept)
  }
}
