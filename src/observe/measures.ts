// What the router counts of its work. Everything is counted at two seams: the answers of the store, after their commit, and the
// records of the log. Sources, bots and queues are labels; triggers, types, subjects and addresses are not, because senders choose some
// of them and there may be very many.
import { isNeed, type AcceptOutcome, type NewEvent, type RunMove, type MoveOutcome, type RefusedRow, type RunCount, type Store } from '../store/store.ts'
import type { Log } from './log.ts'
import { Counter, Histogram, type Family } from './metric-families.ts'

type Refusal = Omit<RefusedRow, 'seq' | 'first_at' | 'last_at' | 'count'>

const commitBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
const startBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
const durationBounds = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]
const latenessBounds = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600]
const requestBounds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** The bot of a run as a label; '': none is chosen. */
function botLabel(bot_id: string): string {
  return isNeed(bot_id) ? '' : bot_id
}

export class Measures {
  readonly events = new Counter('signalbox_events_total', 'Events that were logged.', ['source'])
  readonly eventBytes = new Counter('signalbox_event_bytes_total', 'Bytes of the bodies of events that were logged.', ['source'])
  readonly duplicates = new Counter('signalbox_intake_duplicates_total', 'Deliveries that came again and were not logged again.', ['source'])
  readonly refused = new Counter(
    'signalbox_intake_refused_total',
    'Deliveries that were refused, by the code of the answer. source is empty if the path names no source.',
    ['source', 'reason'],
  )
  readonly lateness = new Histogram('signalbox_schedule_lateness_seconds', 'How late ticks of schedules were logged.', latenessBounds)
  readonly commit = new Histogram('signalbox_store_commit_seconds', 'From handing events to the store to their commit, with the wait for it.', commitBounds)
  readonly runsCreated = new Counter('signalbox_runs_created_total', 'Runs that were created, replays included. bot is empty if none is chosen yet.', ['bot'])
  readonly runsEnded = new Counter(
    'signalbox_runs_ended_total',
    'Runs that ended. What failed or timed out is a dead letter until it is retried or discarded.',
    ['bot', 'state'],
  )
  readonly attempts = new Counter('signalbox_run_attempts_total', 'Attempts that ended, by outcome.', ['bot', 'outcome'])
  readonly startLatency = new Histogram('signalbox_run_start_latency_seconds', 'From the time at which a run may begin to its first attempt.', startBounds, [
    'bot',
  ])
  readonly duration = new Histogram('signalbox_run_duration_seconds', 'How long attempts took.', durationBounds, ['bot'])
  readonly leasesLost = new Counter('signalbox_leases_lost_total', 'Runs that workers lost because they sent no heartbeat.', ['bot'])
  readonly requests = new Counter('signalbox_http_requests_total', 'Requests to the admin listener.', ['route', 'code'])
  readonly requestDuration = new Histogram(
    'signalbox_http_request_duration_seconds',
    'How long requests to the admin listener took, streams excluded.',
    requestBounds,
    ['route'],
  )
  readonly authFailures = new Counter(
    'signalbox_auth_failures_total',
    'Requests and calls over HTTP that were refused: without a valid token, or without the scope.',
    ['reason'],
  )
  readonly ignoredHeaders = new Counter(
    'signalbox_forwarded_headers_ignored_total',
    'Headers of forward_auth on the admin listener that were ignored, because their sender is not among trusted_proxies.',
  )
  lastBackup: number | undefined

  families(): Family[] {
    return Object.values(this).filter((value): value is Counter | Histogram => value instanceof Counter || value instanceof Histogram)
  }

  accepted(events: readonly NewEvent[], outcomes: readonly AcceptOutcome[], seconds: number): void {
    this.commit.observe(seconds)
    for (const [index, outcome] of outcomes.entries()) {
      const { source_id, body, received_at, once } = events[index]!
      if (outcome.kind === 'duplicate') this.duplicates.add([source_id])
      if (outcome.kind !== 'accepted') continue
      this.events.add([source_id])
      this.eventBytes.add([source_id], body.byteLength)
      if (once?.kind === 'tick' && !once.caught_up) this.lateness.observe(Math.max(0, received_at - once.scheduled_at) / 1000)
    }
  }

  moved(moves: readonly RunMove[], outcomes: readonly MoveOutcome[]): void {
    for (const [index, outcome] of outcomes.entries()) {
      const { attempt } = moves[index]!
      if (outcome.kind !== 'moved' || attempt === undefined) continue
      const bot = botLabel(outcome.run.bot_id)
      this.attempts.add([bot, attempt.outcome])
      if (attempt.started_at > 0) this.duration.observe(Math.max(0, attempt.ended_at - attempt.started_at) / 1000, [bot])
    }
  }

  counted(runs: readonly RunCount[]): void {
    for (const { bot_id, state, count } of runs) {
      if (state === null) this.runsCreated.add([botLabel(bot_id)], count)
      else this.runsEnded.add([botLabel(bot_id), state], count)
    }
  }

  /**
   * Counters of these begin at 0 instead of at their first increment: an increase from nothing is none to Prometheus, and the first dead
   * letter of a bot would raise no alert.
   */
  begin(sources: Iterable<string>, bots: Iterable<string>): void {
    this.ignoredHeaders.add([], 0)
    for (const source of sources) for (const counter of [this.events, this.eventBytes, this.duplicates]) counter.add([source], 0)
    for (const bot of bots) {
      this.runsCreated.add([bot], 0)
      this.leasesLost.add([bot], 0)
      for (const state of ['completed', 'failed', 'timed_out', 'cancelled']) this.runsEnded.add([bot, state], 0)
      for (const outcome of ['success', 'permanent']) this.attempts.add([bot, outcome], 0)
    }
  }
}

/** Counts what a store is asked for. Its methods are replaced in place. */
export function measureStore(store: Store, measures: Measures, now: () => number): void {
  const [accept, move, claim] = [store.accept.bind(store), store.move.bind(store), store.claim.bind(store)]
  store.accept = async (events, limits) => {
    const begun = performance.now()
    const outcomes = await accept(events, limits)
    measures.accepted(events, outcomes, (performance.now() - begun) / 1000)
    return outcomes
  }
  store.move = async moves => {
    const outcomes = await move(moves)
    measures.moved(moves, outcomes)
    return outcomes
  }
  store.claim = async request => {
    const answer = await claim(request)
    const at = now()
    for (const { attempt, bot_id, state, not_before, created_at } of answer.runs)
      // To a worker a run is only assigned: its attempt is counted when it begins.
      if (attempt === (state === 'assigned' ? 0 : 1)) measures.startLatency.observe(Math.max(0, at - Math.max(not_before, created_at)) / 1000, [bot_id])
    return answer
  }
  store.onRunsCounted = counted => measures.counted(counted)
}

/** Counts deliveries that are refused. Reasons are codes of the router; of what a sender says nothing is a label. */
export function measureRefused(refused: { note: (refusal: Refusal) => void }, measures: Measures): void {
  const note = refused.note.bind(refused)
  refused.note = refusal => {
    measures.refused.add([refusal.source_id ?? '', refusal.reason])
    note(refusal)
  }
}

/** A log that also counts what it is told. */
export function measuredLog(log: Log, measures: Measures): Log {
  return {
    ...log,
    event: (event, fields) => {
      if (event === 'lease.expired') measures.leasesLost.add([String(fields.bot_id)])
      log.event(event, fields)
    },
  }
}
