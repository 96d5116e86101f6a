// GET /metrics: what is counted, and what is read when it is asked for. What the database tells is read at most once in 5 seconds, and a
// scrape waits for it half a second at most: then it has the values of before.
import { programVersion } from '../contract/document.ts'
import type { Bot, QueueInput, SourceHealth } from '../contract/types.ts'
import type { Counts, RunStats, Store, StoreFacts } from '../store/store.ts'
import type { DiskState } from './disk.ts'
import { metricsText, Reading, type Family } from './metric-families.ts'
import type { Measures } from './measures.ts'
import { ProcessMetrics } from './process-metrics.ts'

const freshMs = 5000
const patienceMs = 500

export interface ScrapeOptions {
  measures: Measures
  store: Pick<Store, 'counts' | 'facts' | 'stats' | 'sourceStats' | 'pendingWrites'>
  sqlite_version: string
  now: () => number
  disk: () => DiskState
  bots: () => Bot[]
  queues: ReadonlyMap<string, QueueInput>
  sources: ReadonlyMap<string, unknown>
  sourceHealth: (source_id: string) => SourceHealth | undefined
  /** the router is shutting down */
  isClosing: () => boolean
  /** why dispatching is paused; null: it is not */
  paused: () => string | null
  streams: () => number
  logBug: (error: unknown) => void
}

/** What the database tells. */
interface Snapshot {
  counts: Counts
  facts: StoreFacts
  stats: RunStats
  sources: Awaited<ReturnType<Store['sourceStats']>>
}

type Labels = Record<string, string>

/** Values by id, which is the value of a label. */
function byId<T extends { id: string }>(
  label: string,
  all: Iterable<T>,
  value: (each: T) => number | undefined,
): [Labels, number][] {
  return [...all].flatMap(each => {
    const found = value(each)
    return found === undefined ? [] : [[{ [label]: each.id }, found] as [Labels, number]]
  })
}

function ids(all: ReadonlyMap<string, unknown>): { id: string }[] {
  return [...all.keys()].map(id => ({ id }))
}

export class Scrape {
  readonly #options: ScrapeOptions
  readonly #families: Family[]
  #snapshot: Snapshot | undefined
  #readAt = -Infinity
  #queued = 0
  #reading: Promise<void> | undefined
  readonly #process = new ProcessMetrics()

  constructor(options: ScrapeOptions) {
    this.#options = options
    this.#families = [
      ...this.#standing(),
      ...this.#stored(),
      ...options.measures.families(),
      ...this.#process.families,
    ]
  }

  /** The metrics as text. */
  async text(): Promise<string> {
    this.#process.start()
    // Before the database is asked: that waits for the writing side, too.
    this.#queued = this.#options.store.pendingWrites
    await this.#refresh()
    const { measures, sources, sourceHealth, bots } = this.#options
    const all = [...sources.keys()]
    measures.begin({
      sources: all,
      polled: all.filter(id => sourceHealth(id) !== undefined),
      bots: bots().map(({ id }) => id),
    })
    return metricsText(this.#families)
  }

  /** Ends what is measured from the first scrape on. */
  stop(): void {
    this.#process.stop()
  }

  async #refresh(): Promise<void> {
    if (performance.now() - this.#readAt < freshMs) return
    this.#reading ??= this.#read()
      .catch(this.#options.logBug)
      .finally(() => {
        this.#reading = undefined
      })
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, patienceMs)
    await Promise.race([this.#reading, late])
    clearTimeout(timer)
  }

  async #read(): Promise<void> {
    const { store, now } = this.#options
    const [counts, facts, stats, sources] = await Promise.all([
      store.counts(),
      store.facts(),
      store.stats(now()),
      store.sourceStats(),
    ])
    this.#snapshot = { counts, facts, stats, sources }
    this.#readAt = performance.now()
  }

  /** What the router knows without asking the database. */
  #standing(): Family[] {
    const {
      disk,
      isClosing,
      paused,
      bots,
      queues,
      sources,
      sourceHealth,
      streams,
      measures,
      sqlite_version: sqlite,
    } = this.#options
    const state = (): string =>
      isClosing() ? 'shutting_down' : disk().full ? 'read_only' : paused() === null ? 'ready' : 'paused'
    const build = { version: programVersion(), node: process.versions.node, sqlite }
    const failing = (id: string): number | undefined => {
      const health = sourceHealth(id)
      return health === undefined ? undefined : Number(health.failures > 0)
    }
    const ofBots = (value: (bot: Bot) => number) => () => byId('bot', bots(), value)
    return [
      new Reading('signalbox_build_info', 'Versions of the router, Node and SQLite.', () => [[build, 1]]),
      new Reading(
        'signalbox_up_state',
        '1 for the current state: ready, paused (no run begins), read_only (the disk is nearly full), shutting_down.',
        () =>
          ['ready', 'paused', 'read_only', 'shutting_down'].map(
            each => [{ state: each }, Number(each === state())] as const,
          ),
      ),
      new Reading('signalbox_source_failing', '1 for a polled source whose last reading failed.', () =>
        byId('source', ids(sources), ({ id }) => failing(id)),
      ),
      new Reading(
        'signalbox_bot_healthy',
        '0 for a bot that gets no runs because it failed.',
        ofBots(({ health }) => Number(health?.state !== 'open')),
      ),
      new Reading(
        'signalbox_bot_draining',
        '1 for a bot that gets no new runs because it is drained.',
        ofBots(({ drained }) => Number(drained === true)),
      ),
      new Reading('signalbox_queue_paused', '1 for a queue that is paused.', () =>
        byId('queue', queues.values(), ({ paused: is }) => Number(is === true)),
      ),
      new Reading(
        'signalbox_store_queue_length',
        'Calls that the writing side of the store has not answered yet.',
        () => this.#queued,
      ),
      new Reading(
        'signalbox_disk_free_bytes',
        'Free space of the disk that has the database.',
        () => disk().free_bytes,
      ),
      new Reading(
        'signalbox_backup_last_success_timestamp_seconds',
        'When a backup last ended well since the start, in seconds since 1970.',
        () => measures.lastBackup,
      ),
      new Reading('signalbox_sse_streams', 'Open streams.', streams),
    ]
  }

  /** What the database tells; left out until it has been read. */
  #stored(): Family[] {
    type Value = ReturnType<ConstructorParameters<typeof Reading>[2]>
    const add = (name: string, help: string, read: (snapshot: Snapshot) => Value): Reading =>
      new Reading(name, help, () => (this.#snapshot === undefined ? undefined : read(this.#snapshot)))
    const lastEvents = ({ sources }: Snapshot): [Labels, number][] =>
      sources
        .filter(({ source_id }) => this.#options.sources.has(source_id))
        .map(({ source_id, last_event_at }) => [{ source: source_id }, last_event_at / 1000])
    const age = (at: number | null | undefined): number | undefined =>
      typeof at === 'number' ? Math.max(0, this.#options.now() - at) / 1000 : undefined
    return [
      add('signalbox_runs_waiting', 'Runs that wait.', ({ stats }) =>
        byId('queue', stats.queues, each => each.waiting),
      ),
      add(
        'signalbox_run_oldest_waiting_seconds',
        'How long the oldest run of a queue has waited.',
        ({ stats }) => byId('queue', stats.queues, each => age(each.oldest_waiting_at)),
      ),
      add('signalbox_runs_active', 'Runs that are with a bot.', ({ stats }) =>
        byId('bot', stats.bots, each => each.active),
      ),
      add('signalbox_dead_letters', 'Runs that are dead letters.', ({ stats }) =>
        byId('bot', stats.bots, each => each.dead),
      ),
      add(
        'signalbox_runs_awaiting_approval',
        'Runs that await approval.',
        ({ stats }) => stats.awaiting_approval,
      ),
      add(
        'signalbox_source_last_event_timestamp_seconds',
        'When a source last had an event, in seconds since 1970.',
        lastEvents,
      ),
      add('signalbox_store_bytes', 'Size of the database file.', ({ facts }) => facts.database_bytes),
      add('signalbox_wal_bytes', 'Size of the write-ahead log.', ({ facts }) => facts.wal_bytes),
      add('signalbox_retention_oldest_seconds', 'Age of the oldest event in the log.', ({ counts }) =>
        age(counts.oldest_at),
      ),
    ]
  }
}
