// What the router counts of its work. Everything is counted at two seams: the answers of the store, after their commit, and the
// records of the log. Sources, bots and queues are labels; triggers, types, subjects and addresses are not, because senders choose some
// of them and there may be very many.
import type { Gate } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import {
  isNeed,
  type AcceptOutcome,
  type GateCounts,
  type NewEvent,
  type RunMove,
  type MoveOutcome,
  type RefusedRow,
  type RunCount,
  type Store,
} from '../store/store.ts'
import type { Log } from './log.ts'
import { Counter, Histogram, type Family } from './metric-families.ts'

type Refusal = Omit<RefusedRow, 'seq' | 'first_at' | 'last_at' | 'count'>

const commitBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
const startBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
const durationBounds = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]
const latenessBounds = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600]
const requestBounds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** Gates that act on matches and on runs. Other gates of the contract are states of sources, triggers and bots. */
const actingGates: readonly Gate['gate'][] = [
  'loop_guard',
  'own_events',
  'repeat_limit',
  'redelivery',
  'rate_limit',
  'debounce',
  'batch',
  'singleton',
  'queue',
  'trigger_paused',
  'dependency',
  'approval',
  'budget',
  'throttle',
  'order',
  'concurrency',
]

/** The ways in which events come. bot: from a bot of kind emit. */
const ways = ['webhook', 'rpc', 'bot', 'clock', 'poll', 'watch'] as const
type Way = (typeof ways)[number]

/**
 * What refuses. rpc, sse, http: the admin listener (POST /rpc, GET /stream, all other requests); command: the socket of a running
 * command; socket: the control socket.
 */
type Interface = 'rpc' | 'sse' | 'http' | 'command' | 'socket'
/** token: there is no valid token; rate: too many of those from one address; scope: the caller may not do this. */
type AuthFailure = 'token' | 'rate' | 'scope'
const authFailures: readonly (readonly [Interface, AuthFailure])[] = [
  ...(['rpc', 'sse', 'http'] as const).flatMap(each =>
    (['token', 'rate', 'scope'] as const).map(reason => [each, reason] as const),
  ),
  ['command', 'scope'],
  ['socket', 'scope'],
]

/** The part of the admin listener that answers a route. */
function interfaceOf(route: string): Interface {
  return route === '/rpc' ? 'rpc' : route === '/stream' ? 'sse' : 'http'
}

/** The bot of a run as a label; '': none is chosen. */
function botLabel(bot_id: string): string {
  return isNeed(bot_id) ? '' : bot_id
}

export class Measures {
  readonly events = new Counter('signalbox_events_total', 'Events that were logged.', ['source'])
  readonly eventBytes = new Counter(
    'signalbox_event_bytes_total',
    'Bytes of the bodies of events that were logged.',
    ['source'],
  )
  readonly duplicates = new Counter(
    'signalbox_intake_duplicates_total',
    'Deliveries that came again and were not logged again.',
    ['source'],
  )
  readonly refused = new Counter(
    'signalbox_intake_refused_total',
    'Deliveries that were refused, by the code of the answer. source is empty if the path names no source.',
    ['source', 'reason'],
  )
  readonly intake = new Histogram(
    'signalbox_intake_duration_seconds',
    'From the head of a request, the call, or the making of an event, to the answer that it is logged. Refusals are not in it.',
    commitBounds,
    ['way'],
  )
  readonly sourceFailures = new Counter(
    'signalbox_source_failures_total',
    'Readings of a polled source that failed.',
    ['source'],
  )
  readonly lateness = new Histogram(
    'signalbox_schedule_lateness_seconds',
    'How late ticks of schedules were logged.',
    latenessBounds,
  )
  readonly commit = new Histogram(
    'signalbox_store_commit_seconds',
    'From handing events to the store to their commit, with the wait for it.',
    commitBounds,
  )
  readonly matches = new Counter(
    'signalbox_matches_total',
    'Pairs of an event and a trigger that it matches.',
  )
  readonly gateActions = new Counter(
    'signalbox_gate_actions_total',
    'How often a gate kept a match from making a run of its own, or a run from starting.',
    ['gate'],
  )
  readonly runsCreated = new Counter(
    'signalbox_runs_created_total',
    'Runs that were created, replays included. bot is empty if none is chosen yet.',
    ['bot'],
  )
  readonly runsEnded = new Counter(
    'signalbox_runs_ended_total',
    'Runs that ended. What failed or timed out is a dead letter until it is retried or discarded.',
    ['bot', 'state'],
  )
  readonly attempts = new Counter('signalbox_run_attempts_total', 'Attempts that ended, by outcome.', [
    'bot',
    'outcome',
  ])
  readonly startLatency = new Histogram(
    'signalbox_run_start_latency_seconds',
    'From the time at which a run may begin to its first attempt.',
    startBounds,
    ['bot'],
  )
  readonly duration = new Histogram(
    'signalbox_run_duration_seconds',
    'How long attempts took.',
    durationBounds,
    ['bot'],
  )
  readonly leasesLost = new Counter(
    'signalbox_leases_lost_total',
    'Runs that workers lost because they sent no heartbeat.',
    ['bot'],
  )
  readonly requests = new Counter('signalbox_http_requests_total', 'Requests to the admin listener.', [
    'interface',
    'route',
    'code',
  ])
  readonly requestDuration = new Histogram(
    'signalbox_http_request_duration_seconds',
    'How long requests to the admin listener took, streams excluded.',
    requestBounds,
    ['interface', 'route'],
  )
  readonly authFailures = new Counter(
    'signalbox_auth_failures_total',
    'Requests and calls that were refused: token (none that is valid), rate (too many of those from one address), scope (not allowed to the caller).',
    ['interface', 'reason'],
  )
  readonly ignoredHeaders = new Counter(
    'signalbox_forwarded_headers_ignored_total',
    'Headers of forward_auth on the admin listener that were ignored, because their sender is not among trusted_proxies.',
  )
  lastBackup: number | undefined

  families(): Family[] {
    return Object.values(this).filter(
      (value): value is Counter | Histogram => value instanceof Counter || value instanceof Histogram,
    )
  }

  /** Waits until events are accepted, and observes how long that took. A refusal is quick: it would hide that accepting is slow. */
  async timed<T>(way: Way, accept: () => Promise<T>): Promise<T> {
    const begun = performance.now()
    const answer = await accept()
    if (!Array.isArray(answer) || answer.some(each => !(each instanceof Fault)))
      this.intake.observe((performance.now() - begun) / 1000, [way])
    return answer
  }

  accepted(events: readonly NewEvent[], outcomes: readonly AcceptOutcome[], seconds: number): void {
    this.commit.observe(seconds)
    for (const [index, outcome] of outcomes.entries()) {
      const { source_id, body, received_at, once } = events[index]!
      if (outcome.kind === 'duplicate') this.duplicates.add([source_id])
      if (outcome.kind !== 'accepted') continue
      this.events.add([source_id])
      this.eventBytes.add([source_id], body.byteLength)
      if (once?.kind === 'tick' && !once.caught_up)
        this.lateness.observe(Math.max(0, received_at - once.scheduled_at) / 1000)
    }
  }

  moved(moves: readonly RunMove[], outcomes: readonly MoveOutcome[]): void {
    for (const [index, outcome] of outcomes.entries()) {
      const { attempt } = moves[index]!
      if (outcome.kind !== 'moved' || attempt === undefined) continue
      const bot = botLabel(outcome.run.bot_id)
      this.attempts.add([bot, attempt.outcome])
      if (attempt.started_at > 0)
        this.duration.observe(Math.max(0, attempt.ended_at - attempt.started_at) / 1000, [bot])
    }
  }

  counted(runs: readonly RunCount[]): void {
    for (const { bot_id, state, count } of runs) {
      if (state === null) this.runsCreated.add([botLabel(bot_id)], count)
      else this.runsEnded.add([botLabel(bot_id), state], count)
    }
  }

  /** A request to the admin listener was answered. How long a stream was open says nothing. */
  answered(route: string, code: number, seconds: number): void {
    const labels = [interfaceOf(route), route]
    this.requests.add([...labels, String(code)])
    if (route !== '/stream') this.requestDuration.observe(seconds, labels)
  }

  /** The admin listener refused a request. */
  requestRefused(route: string, reason: AuthFailure): void {
    this.authFailures.add([interfaceOf(route), reason])
  }

  /** A call was refused that its caller may not make. */
  callRefused(over: 'http' | 'page' | 'command' | 'socket'): void {
    this.authFailures.add([over === 'http' || over === 'page' ? 'rpc' : over, 'scope'])
  }

  gatesCounted({ matches, gates }: GateCounts): void {
    this.matches.add([], matches)
    for (const [gate, count] of gates) this.gateActions.add([gate], count)
  }

  /**
   * Counters of these begin at 0 instead of at their first increment: Prometheus does not count an increase from nothing, and the first dead
   * letter of a bot would raise no alert.
   */
  begin({ sources, polled, bots }: Record<'sources' | 'polled' | 'bots', Iterable<string>>): void {
    for (const way of ways) this.intake.begin([way])
    for (const source of polled) this.sourceFailures.add([source], 0)
    for (const each of authFailures) this.authFailures.add(each, 0)
    for (const gate of actingGates) this.gateActions.add([gate], 0)
    this.ignoredHeaders.add([], 0)
    for (const source of sources)
      for (const counter of [this.events, this.eventBytes, this.duplicates]) counter.add([source], 0)
    for (const bot of bots) {
      this.runsCreated.add([bot], 0)
      this.leasesLost.add([bot], 0)
      for (const state of ['completed', 'failed', 'timed_out', 'cancelled'])
        this.runsEnded.add([bot, state], 0)
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
      if (attempt === (state === 'assigned' ? 0 : 1))
        measures.startLatency.observe(Math.max(0, at - Math.max(not_before, created_at)) / 1000, [bot_id])
    return answer
  }
  store.onRunsCounted = counted => measures.counted(counted)
  store.onGatesCounted = counted => measures.gatesCounted(counted)
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
      // A reading of which a part could be used has an error, but no failures.
      if (event === 'source.read' && Number(fields.failures) > 0)
        measures.sourceFailures.add([String(fields.source_id)])
      log.event(event, fields)
    },
  }
}
