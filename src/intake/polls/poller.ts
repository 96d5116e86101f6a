// Polls and watches: sources that are read again and again. What is new in a reading becomes events; that an item had
// its event is written in the event's own transaction, and only after all of them what lets a server say "unchanged".
// So a crash anywhere costs one more reading, and neither an item nor a second event.
//
// A source is waiting (in the timetable) -> queued (others are being read) -> reading -> waiting.
import { isDeepStrictEqual } from 'node:util'
import { defaults } from '../../contract/defaults.ts'
import type { ContextFileBytes } from '../../context-files.ts'
import type { PollConfig, Source, SourceHealth } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { Accepted, Incoming } from '../../routing/incoming.ts'
import type { SourceState } from '../../store/store.ts'
import { judged } from './crossing.ts'
import { ReadingError, type Item } from './items.ts'
import { ItemsThread } from './items-thread.ts'
import { ownEvent } from '../../routing/own-event.ts'
import { addItems, type Pages } from './pages.ts'
import { read, readCommand } from './reading.ts'
import { healthOf, warningOf, type Memory } from './source-memory.ts'
import { Timetable } from '../timetable.ts'
import { type Entry, type PollerOptions, type Outcome, NotTaken } from './poll-entry.ts'

const longestPauseMs = 15 * 60_000
const longestRetryAfterMs = 24 * 3_600_000
const longestUnchangedMs = 24 * 3_600_000
/** Events that go to the store together. */
const together = 100
const maxErrorLength = 500

export class Poller {
  readonly #options: PollerOptions
  readonly #entries = new Map<string, Entry>()
  readonly #timetable: Timetable
  readonly #queue: Entry[] = []
  readonly #reading = new Set<Promise<void>>()
  readonly #thread: ItemsThread
  #stopped = false

  constructor(options: PollerOptions) {
    this.#options = options
    const { now, later } = options
    this.#thread = new ItemsThread(options.config, options.expressions)
    this.#timetable = new Timetable({
      now,
      later,
      onDue: ids => this.#due(ids),
      onSetBack: () => this.#setBack(),
    })
  }

  start(states: readonly SourceState[]): void {
    const left = new Map(states.map(({ source_id, state }) => [source_id, state as Memory | null]))
    for (const source of this.#options.sources.values()) this.#enter(source, left.get(source.id) ?? {})
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timetable.stop()
    for (const { abort } of this.#entries.values()) abort.abort()
    // Readings in the thread end with it, the others with their signal.
    await this.#thread.stop()
    await Promise.all(this.#reading)
  }

  /** Sources were written or deleted. */
  changed(ids: readonly string[]): void {
    const { sources } = this.#options
    for (const id of ids) {
      const source = sources.get(id)
      const entry = this.#entries.get(id)
      if (entry !== undefined && source?.enabled === true && isDeepStrictEqual(entry.config, source.config))
        continue
      entry?.abort.abort()
      this.#entries.delete(id)
      this.#timetable.delete(id)
      if (source !== undefined) this.#enter(source, entry?.memory.begun === true ? { begun: true } : {})
    }
  }

  nextAt(id: string): number | undefined {
    return this.#timetable.at(id)
  }

  health(id: string): SourceHealth | undefined {
    const entry = this.#entries.get(id)
    return entry === undefined ? undefined : healthOf(entry.memory)
  }

  /** Sources whose last reading failed or could not be used whole, in words. */
  warnings(): string[] {
    return [...this.#entries.values()].flatMap(({ id, memory }) => warningOf(id, memory) ?? [])
  }

  /** Lets an item come again; false: it was not known. */
  async forget(id: string, key: string): Promise<boolean> {
    const entry = this.#entries.get(id)
    if (entry !== undefined) {
      entry.forgotten.add(key)
      delete entry.memory.validators
    }
    return this.#options.store.forgetItem(id, key)
  }

  #enter({ id, source_type, enabled, config }: Source, memory: Memory): void {
    if ((source_type !== 'poll' && source_type !== 'watch') || !enabled || this.#stopped) return
    const entry: Entry = {
      id,
      source_type,
      config,
      memory,
      abort: new AbortController(),
      forgotten: new Set(),
    }
    this.#entries.set(id, entry)
    const now = this.#options.now()
    this.#timetable.set(id, Math.min(memory.next_at ?? now, now + this.#interval(entry)))
  }

  #interval({ config }: Entry): number {
    return Math.max(
      config.interval_ms ?? defaults.PollConfig.interval_ms,
      this.#options.config.poll_min_interval_ms,
    )
  }

  #setBack(): void {
    const now = this.#options.now()
    for (const entry of this.#entries.values()) {
      const at = this.#timetable.at(entry.id)
      if (at !== undefined) this.#timetable.set(entry.id, Math.min(at, now + this.#interval(entry)))
    }
  }

  #due(ids: string[]): void {
    this.#queue.push(...ids.flatMap(id => this.#entries.get(id) ?? []))
    this.#next()
  }

  #next(): void {
    while (!this.#stopped && this.#reading.size < this.#options.config.poll_max_active) {
      const entry = this.#queue.shift()
      if (entry === undefined) return
      if (this.#entries.get(entry.id) !== entry) continue
      const reading: Promise<void> = this.#read(entry)
        .catch(this.#options.logBug)
        .finally(() => {
          this.#reading.delete(reading)
          this.#next()
        })
      this.#reading.add(reading)
    }
  }

  async #read(entry: Entry): Promise<void> {
    const begun = performance.now()
    let outcome: Outcome
    try {
      outcome = await (entry.source_type === 'poll' ? this.#poll(entry) : this.#watch(entry))
    } catch (error) {
      // A bug must not end the readings of a source.
      this.#options.logBug(error)
      outcome = {
        memory: entry.memory,
        failure: { error: 'the router could not use it; its log says why' },
        seen: [],
        events: 0,
      }
    }
    if (this.#entries.get(entry.id) === entry && !this.#stopped)
      await this.#finish(entry, outcome, performance.now() - begun)
  }

  /** Remembers a reading and sets the next. */
  async #finish(
    entry: Entry,
    { memory, failure, problem, seen, events }: Outcome,
    ms: number,
  ): Promise<void> {
    const { store, now, log, logBug } = this.#options
    const { id } = entry
    const at = now()
    const before = entry.memory.failures ?? 0
    const failures = failure === undefined ? 0 : before + 1
    const interval = this.#interval(entry)
    const pause = Math.max(
      interval,
      Math.min(interval * 2 ** Math.min(failures, 20), Math.max(longestPauseMs, interval)),
    )
    const asked = Math.min(failure?.retry_after_ms ?? 0, longestRetryAfterMs)
    const next_at = at + Math.max(failures === 0 ? interval : pause, asked)
    const error = (failure?.error ?? problem)?.slice(0, maxErrorLength)
    const { error: _, ...rest } = memory
    entry.memory = { ...rest, failures, next_at, ...(error === undefined ? {} : { error }) }
    const { forgotten } = entry
    if (forgotten.size > 0) delete entry.memory.validators
    // The store does these things in turn: what is forgotten from here on is forgotten after this is noted.
    entry.forgotten = new Set()
    const known = seen.filter(key => !forgotten.has(key))
    if (error !== undefined || events > 0)
      log('source.read', {
        source_id: id,
        events,
        ms: Math.round(ms),
        ...(error === undefined ? {} : { error, failures }),
      })
    const told =
      failures === 1 ? store.emitLifecycle('source.failing', id, { source_id: id, error }, at) : undefined
    const well =
      failures === 0 && before > 0
        ? store.emitLifecycle('source.recovered', id, { source_id: id }, at)
        : undefined
    // An item that cannot be noted is read again after the next start, and found to be known.
    await Promise.all([
      store.noteSource({ source_id: id, state: { ...entry.memory }, seen: known, at }),
      told,
      well,
    ]).catch(logBug)
    if (this.#entries.get(id) === entry) this.#timetable.set(id, next_at)
  }

  /**
   * Whether a server may say "unchanged". Not for ever: the state of items is kept as long as they are seen, and
   * an answer without items shows none. Twice within that time at the least they are read.
   */
  #mayBeUnchanged({ whole_at = 0 }: Memory): boolean {
    const { retention_ms, dedupe_ms } = this.#options.config
    return (
      this.#options.now() - whole_at < Math.min(longestUnchangedMs, Math.max(retention_ms, dedupe_ms) / 3)
    )
  }

  /** Page after page, until one has nothing new. */
  async #pages(entry: Entry, first: boolean): Promise<Pages | 'unchanged'> {
    const { id, config, memory, abort } = entry
    const { max_pages, max_items } = { ...defaults.PollConfig, ...config }
    const pages: Pages = { fresh: new Map(), seen: [], held: 0, whole: false }
    let page_url: string | undefined
    for (let page = 1; page <= max_pages; page++) {
      const validators = page === 1 && this.#mayBeUnchanged(memory) ? (memory.validators ?? {}) : {}
      const answer = await read(id, config, { validators, page_url }, abort.signal, this.#options.reading)
      if (answer.kind === 'unchanged') return 'unchanged'
      if (answer.kind === 'failed') return { ...pages, failure: answer }
      const added = await this.#addItems(entry, answer.text, pages)
      if (added instanceof ReadingError) return { ...pages, failure: { error: added.message } }
      if (page === 1) pages.validators = answer.validators
      page_url = answer.next_url
      if (page_url === undefined || added === 0)
        return { ...pages, whole: pages.problem === undefined && pages.fresh.size <= max_items }
      if (!first && pages.fresh.size >= max_items) return pages
    }
    return pages
  }

  /** Adds what a page holds; answers how much of it is new, or why it cannot be used. */
  async #addItems({ id, config }: Entry, text: string, pages: Pages): Promise<number | ReadingError> {
    const { store } = this.#options
    try {
      const { items, problems } = await this.#thread.items(text, config)
      const before = pages.fresh.size
      await addItems(pages, items, keys => store.unseen(id, keys))
      pages.held += items.length
      pages.problem ??= problems[0]
      return pages.fresh.size - before
    } catch (error) {
      if (error instanceof ReadingError) return error
      throw error
    }
  }

  async #poll(entry: Entry): Promise<Outcome> {
    const { config, memory } = entry
    const { now } = this.#options
    const first = config.skip_first === true && memory.begun !== true
    const pages = await this.#pages(entry, first)
    if (pages === 'unchanged') return { memory: { ...memory, read_at: now() }, seen: [], events: 0 }
    const { fresh, seen, held, whole, validators, problem } = pages
    let { failure } = pages
    let events = 0
    try {
      if (first) seen.push(...fresh.keys())
      else
        events = await this.#take(
          entry,
          [...fresh.values()].slice(0, config.max_items ?? defaults.PollConfig.max_items),
        )
    } catch (error) {
      if (!(error instanceof NotTaken)) throw error
      failure ??= { error: error.message }
      events = error.events
    }
    const { validators: _, ...rest } = memory
    return {
      memory: {
        ...rest,
        ...(failure === undefined ? { read_at: now(), items: held, begun: true } : {}),
        // Only what was read and used to its end may be called unchanged.
        ...(failure === undefined && whole && validators !== undefined
          ? { validators, whole_at: now() }
          : {}),
      },
      ...(failure === undefined ? {} : { failure }),
      ...(problem === undefined ? {} : { problem }),
      seen,
      events,
    }
  }

  /** Makes the events of items. Throws NotTaken where not all could be made; what could be is. */
  async #take(entry: Entry, items: readonly Item[]): Promise<number> {
    const { id, config, abort } = entry
    const timestamp = this.#options.now()
    const type = config.type ?? defaults.PollConfig.type
    let [events, problem] = [0, '']
    for (let from = 0; from < items.length; from += together) {
      const incoming: Incoming[] = []
      for (const { key, subject, json } of items.slice(from, from + together)) {
        const event = ownEvent({ source_id: id, type, subject, timestamp, json, once: { kind: 'item', key } })
        const context =
          config.context_command === undefined
            ? []
            : await this.#context(id, config.context_command, json, config.timeout_ms, abort.signal)
        if (typeof context === 'string') problem ||= `the context_command of item ${key}: ${context}`
        else incoming.push(context.length === 0 ? event : { ...event, context_files: context })
      }
      for (const answer of await this.#accept(entry, incoming)) if (!answer.duplicate) events++
    }
    if (problem !== '') throw new NotTaken(problem, events)
    return events
  }

  /** The files that a command adds to an item, or why there are none. */
  async #context(
    source_id: string,
    command: NonNullable<PollConfig['context_command']>,
    input: string,
    timeout_ms: number = defaults.PollConfig.timeout_ms,
    signal: AbortSignal,
  ): Promise<ContextFileBytes[] | string> {
    const answer = await readCommand({ source_id, command, input, timeout_ms, signal }, this.#options.reading)
    if (answer.kind === 'failed') return answer.error
    return answer.kind === 'read' ? this.#thread.context(answer.text) : []
  }

  /**
   * A source that was changed, disabled or deleted while it was read makes no event: what was read is not what it reads
   * now. From here to the commit the store looks at whether it exists.
   */
  async #accept({ abort }: Entry, incoming: Incoming[]): Promise<Accepted[]> {
    if (abort.signal.aborted) throw new NotTaken('the source was changed while it was read')
    try {
      const answers = await this.#options.accept(incoming)
      const refused = answers.find(answer => answer instanceof Fault)
      if (refused !== undefined) throw refused
      return answers as Accepted[]
    } catch (error) {
      if (error instanceof Fault) throw new NotTaken(`what is new is not taken now: ${error.message}`)
      throw error
    }
  }

  async #watch(entry: Entry): Promise<Outcome> {
    const { id, config, memory, abort } = entry
    const { reading, now } = this.#options
    const answer = await read(id, config, { validators: {} }, abort.signal, reading)
    if (answer.kind === 'failed') return { memory, failure: answer, seen: [], events: 0 }
    if (answer.kind === 'unchanged') return { memory: { ...memory, read_at: now() }, seen: [], events: 0 }
    let value: number
    try {
      value = await this.#thread.number(answer.text, config)
    } catch (error) {
      if (!(error instanceof ReadingError)) throw error
      return { memory, problem: error.message, seen: [], events: 0 }
    }
    const timestamp = now()
    const { crossing, watched } = judged(memory, value, config, timestamp)
    const after: Memory = { ...memory, ...watched, read_at: timestamp, begun: true }
    if (crossing === undefined) return { memory: after, seen: [], events: 0 }
    const { error: _, ...state } = { ...after, failures: 0 }
    const event = ownEvent({
      source_id: id,
      type: config.type ?? crossing.type,
      subject: config.subject ?? null,
      timestamp,
      json: JSON.stringify(crossing.payload),
      once: { kind: 'state', state },
    })
    try {
      await this.#accept(entry, [event])
    } catch (error) {
      if (!(error instanceof NotTaken)) throw error
      return { memory, failure: { error: error.message }, seen: [], events: 0 }
    }
    return { memory: after, seen: [], events: 1 }
  }
}
