// Metrics of the process: processor, memory, files, event loop and garbage collection. What costs something between scrapes is
// measured from the first scrape on.
import { readdirSync, readFileSync } from 'node:fs'
import { constants, monitorEventLoopDelay, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks'
import { Histogram, Reading, type Family } from './metric-families.ts'

const resolutionMs = 50
const gcBounds = [0.001, 0.01, 0.1, 1, 2, 5]
const gcKinds: Partial<Record<number, string>> = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weakcb',
}

function processorSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** Open files of this process, and how many it may have; undefined if /proc does not tell. */
function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return undefined
  }
}

function mostFiles(): number | undefined {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return limit === undefined ? undefined : Number(limit)
  } catch {
    return undefined
  }
}

type Collection = PerformanceEntry & { detail: { kind: number } }

export class ProcessMetrics {
  readonly #gc = new Histogram(
    'nodejs_gc_duration_seconds',
    'Duration of garbage collections of the main thread, from the first scrape on.',
    gcBounds,
    ['kind'],
  )
  readonly #lag = monitorEventLoopDelay({ resolution: resolutionMs })
  readonly #collections = new PerformanceObserver(list =>
    list.getEntries().forEach(each => this.#collected(each as Collection)),
  )
  readonly families: readonly Family[]
  #measuring = false

  constructor() {
    const started = Date.now() / 1000 - process.uptime()
    this.families = [
      new Reading('process_cpu_seconds_total', 'Processor time of all threads.', processorSeconds, 'counter'),
      new Reading('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss()),
      new Reading(
        'process_start_time_seconds',
        'When the process started, in seconds since 1970.',
        () => started,
      ),
      new Reading('process_open_fds', 'Open file descriptors.', openFiles),
      new Reading('process_max_fds', 'Most file descriptors that the process may open.', mostFiles),
      new Reading(
        'nodejs_heap_size_used_bytes',
        'Used heap of the main thread.',
        () => process.memoryUsage().heapUsed,
      ),
      new Reading(
        'nodejs_eventloop_lag_p99_seconds',
        'Delay of the event loop that 99 % of its turns stayed below, since the last scrape.',
        () => this.#longestLag(),
      ),
      this.#gc,
    ]
    for (const kind of Object.values(gcKinds)) this.#gc.begin([kind!])
  }

  /** Begins to measure; may be called again. */
  start(): void {
    if (this.#measuring) return
    this.#measuring = true
    this.#lag.enable()
    this.#collections.observe({ entryTypes: ['gc'] })
  }

  stop(): void {
    this.#measuring = false
    this.#lag.disable()
    this.#collections.disconnect()
  }

  #longestLag(): number {
    // Each turn of it waits for the resolution itself. At the first scrape it has measured nothing.
    const p99 = this.#lag.count === 0 ? 0 : Math.max(0, this.#lag.percentile(99) / 1e9 - resolutionMs / 1000)
    this.#lag.reset()
    return p99
  }

  #collected({ duration, detail }: Collection): void {
    const kind = gcKinds[detail.kind]
    if (kind !== undefined) this.#gc.observe(duration / 1000, [kind])
  }
}
