// The events and runs of the last hours: read once, then kept up by the stream, so that an open page asks the router for nothing.
import { signal } from '@preact/signals'
import type { EventSummary, Run } from '../../contract/types.ts'
import { call, isAbort } from '../rpc.ts'
import { PerFrame } from '../stream/frame.ts'
import { listen } from '../stream/hub.ts'
import { withLatest, type Identified } from '../stream/latest.ts'
import type { Message } from '../stream/messages.ts'

const pageSize = 500
/** Rows of each kind that are read; of more the newest. */
export const mostRead = 2000

/** The newest rows since a time, page by page. */
async function readAll<T>(
  page: (cursor: string | undefined) => Promise<{ rows: T[]; next_cursor?: string | undefined }>,
): Promise<{ rows: T[]; isAll: boolean }> {
  const rows: T[] = []
  let cursor: string | undefined
  do {
    const answer = await page(cursor)
    rows.push(...answer.rows)
    cursor = answer.next_cursor
  } while (cursor !== undefined && rows.length < mostRead)
  return { rows, isAll: cursor === undefined }
}

export class TimeWindow {
  readonly events = signal<readonly EventSummary[]>([])
  readonly runs = signal<readonly Run[]>([])
  /** the time since which all rows are here */
  readonly complete_since = signal(0)
  readonly error = signal<unknown>(undefined)
  readonly isLoading = signal(true)
  readonly #span: number
  readonly #frame = new PerFrame<Message>(messages => this.#add(messages))
  readonly #abort = new AbortController()
  readonly #stop: () => void

  /** span: milliseconds up to now */
  constructor(span: number) {
    this.#span = span
    this.#stop = listen(message => {
      if (message.kind === 'event' || message.kind === 'run') this.#frame.add(message)
      if (message.kind === 'gap') void this.load()
    })
    void this.load()
  }

  stop(): void {
    this.#stop()
    this.#frame.stop()
    this.#abort.abort()
  }

  async load(): Promise<void> {
    const since = Date.now() - this.#span
    const next = (cursor: string | undefined): { cursor?: string } => (cursor === undefined ? {} : { cursor })
    try {
      const [events, runs] = await Promise.all([
        readAll(async cursor => {
          const { events: rows, next_cursor } = await call(
            'event.query',
            { since, limit: pageSize, ...next(cursor) },
            this.#abort.signal,
          )
          return { rows, next_cursor }
        }),
        readAll(async cursor => {
          const { runs: rows, next_cursor } = await call(
            'run.list',
            { since, limit: pageSize, ...next(cursor) },
            this.#abort.signal,
          )
          return { rows, next_cursor }
        }),
      ])
      this.events.value = events.rows
      this.runs.value = runs.rows
      const begins = [
        events.isAll ? since : events.rows.at(-1)!.received_at,
        runs.isAll ? since : runs.rows.at(-1)!.created_at,
      ]
      this.complete_since.value = Math.max(...begins)
      this.error.value = undefined
    } catch (error) {
      if (!isAbort(error)) this.error.value = error
    }
    this.isLoading.value = false
  }

  #add(messages: Message[]): void {
    const since = Date.now() - this.#span
    const merged = <T extends Identified>(
      shown: readonly T[],
      came: readonly T[],
      at: (row: T) => number,
    ): readonly T[] =>
      came.length === 0 ? shown : withLatest(shown, came, 2 * mostRead).filter(row => at(row) >= since)
    const events = messages.flatMap(message => (message.kind === 'event' ? [message.event] : []))
    const runs = messages.flatMap(message => (message.kind === 'run' ? [message.run] : []))
    this.events.value = merged<EventSummary>(this.events.peek(), events, ({ received_at }) => received_at)
    this.runs.value = merged(this.runs.peek(), runs, ({ created_at }) => created_at)
  }
}
