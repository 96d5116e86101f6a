// Accepting events: matched, then written with their decisions and runs in one transaction. The answer is given after
// the commit, and what it gives is what was committed.
import { hash } from 'node:crypto'
import type { Decision, Trigger } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import { isForgeSource } from '../forge.ts'
import type { MakeId } from '../ids.ts'
import type {
  AcceptLimits,
  AcceptOutcome,
  NewEvent,
  NewRun,
  ReplayRequest,
  RouteRequest,
  Store,
  StoredEvent,
} from '../store/store.ts'
import { attributesOf, eventView, listensTo, type LogFilter } from './log-filter.ts'
import { storedPayload } from './payload.ts'
import type { MatchEvent } from './match-event.ts'
import type { Registry } from './registry.ts'
import { newRun, type Conversation, type RunMaking } from './run-flow.ts'
import { mapInTurns } from '../turns.ts'
import type { Incoming, Accepted } from './incoming.ts'

/** When an event came, and how long its runs wait for a time of the future. */
interface When {
  at: number
  wait_ms: number
}

/** Who caused an event, in which conversation of which source, and whether a run did. */
type Caused = Pick<Incoming, 'source_id' | 'actor' | 'thread' | 'causation' | 'by_run' | 'requested_by'>

/** A replay is asked for by hand: how often there were runs about its thread does not matter. */
function replayed(
  event: StoredEvent,
  requested_by: string | undefined,
): Pick<RunMaking, 'replay' | 'scope' | 'conversation' | 'requested_by'> {
  return { replay: true, requested_by, scope: () => eventView(event), conversation: undefined }
}

export interface AcceptOptions {
  store: Store
  registry: Registry
  limits: AcceptLimits & { loop_depth: number }
  now: () => number
  makeId: MakeId
  /** Runs for these bots are on their way into the store. */
  onRuns: (bot_ids: string[]) => void
  /** These runs are with bots and were asked to stop. */
  onCancel: (run_ids: string[]) => void
  /** What a trigger's bot may use. */
  tools: (trigger: Trigger) => string[] | undefined
  log: (event: string, fields: Record<string, unknown>) => void
  /** Throws a Fault while nothing may be accepted: no room on the disk, or ending. */
  assertOpen: () => void
}

const secretName = /authorization|cookie|token|signature|secret|password|api-?key|claims/

/**
 * Runs that the events of one batch may start: they are written together. Handing over 10,000 takes the event loop 20 ms,
 * and the batch is answered once all are written.
 */
const maxBatchRuns = 10_000
const maxTypeLength = 128
const maxSubjectLength = 1024

function assertLength(reason: string, what: string, text: string | null, most: number): void {
  if ((text?.length ?? 0) > most)
    throw new Fault('bad_request', `${what} have at most ${most} characters`, { reason })
}

/** Headers as they are kept: lower-case, and nothing that may be a secret. */
function withoutSecrets(headers: Record<string, string>): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (!secretName.test(lower)) kept[lower] = value
  }
  return kept
}

/** Decisions with the runs that they made, in the same order. */
function withRuns(decisions: Decision[], run_ids: readonly string[]): Decision[] {
  let next = 0
  return decisions.map(decision =>
    decision.outcome === 'routed' ? { ...decision, run_id: run_ids[next++]! } : decision,
  )
}

/** Events in order, in parts that start few runs each. */
function parted(events: NewEvent[]): NewEvent[][] {
  const parts: NewEvent[][] = []
  let runs = Infinity
  for (const event of events) {
    runs += event.runs.length
    if (runs > maxBatchRuns) {
      parts.push([])
      runs = event.runs.length
    }
    parts.at(-1)!.push(event)
  }
  return parts
}

export class Acceptor {
  readonly #options: AcceptOptions

  constructor(options: AcceptOptions) {
    this.#options = options
  }

  /**
   * Logs events and owes the runs that they start, in order. An event whose answer is a Fault (key_reused, overloaded) is
   * not logged. Throws Fault storage_full, not_ready or shutting_down; then none is, or, where the events start more than
   * maxBatchRuns, not the last of them.
   */
  async accept(incoming: Incoming[]): Promise<(Accepted | Fault)[]> {
    // One event stays in the turn in which it came, without a wait on its way to the store.
    if (incoming.length === 1) return this.#write([this.#openDecide(incoming[0]!)])
    const decided: (Accepted | Fault)[] = []
    for (const part of parted(await this.#decideAll(incoming))) decided.push(...(await this.#write(part)))
    return decided
  }

  /** The same in one transaction; also throws Fault too_large, before anything is written, where the events would start too many runs. */
  async acceptBatch(incoming: Incoming[]): Promise<(Accepted | Fault)[]> {
    const events = await this.#decideAll(incoming)
    const runs = events.reduce((sum, event) => sum + event.runs.length, 0)
    if (events.length > 1 && runs > maxBatchRuns)
      throw new Fault(
        'too_large',
        `the events of a batch must start at most ${maxBatchRuns} runs; these ${events.length} would start ${runs}. Nothing was stored: send fewer at once`,
      )
    return this.#write(events)
  }

  #decideAll(incoming: Incoming[]): Promise<NewEvent[]> {
    return mapInTurns(incoming, each => this.#openDecide(each))
  }

  #openDecide(incoming: Incoming): NewEvent {
    this.#options.assertOpen()
    return this.#decide(incoming)
  }

  async #write(events: NewEvent[]): Promise<(Accepted | Fault)[]> {
    const { store, limits, onRuns } = this.#options
    const accepting = store.accept(events, limits)
    // Reported before the commit: the claim that follows is behind the accept in the store's order, and with no other call in
    // between both share one transaction, which takes a commit off the way from event to bot.
    const bots = new Set(events.flatMap(event => event.runs.map(run => run.bot_id)))
    if (bots.size > 0) onRuns([...bots])
    const outcomes = await accepting
    return outcomes.length === 1
      ? [this.#answer(outcomes[0]!, events[0]!)]
      : mapInTurns(outcomes, (outcome, index) => this.#answer(outcome, events[index]!))
  }

  /** One event; throws every Fault. */
  async acceptOne(incoming: Incoming): Promise<Accepted> {
    const [answer] = await this.accept([incoming])
    if (answer instanceof Fault) throw answer
    return answer!
  }

  #decide(incoming: Incoming): NewEvent {
    const { registry, now, makeId } = this.#options
    const received_at = now()
    const id = makeId(received_at)
    const {
      payload,
      headers: given,
      subject_paths,
      forge,
      deliver_at = 0,
      signed,
      by_run: _,
      ...rest
    } = incoming
    const wait_ms = Math.max(0, deliver_at - received_at)
    const headers = withoutSecrets(given)
    const timestamp = incoming.timestamp ?? received_at
    const attributes = attributesOf({ ...incoming, id, timestamp, headers })
    const { matched, subject, actor, thread } = registry.match(attributes, payload, { subject_paths, forge })
    assertLength('E_SUBJECT', 'subjects', subject, maxSubjectLength)
    assertLength('E_EVENT_TYPE', 'event types', incoming.type, maxTypeLength)
    const body_sha256 = hash('sha256', incoming.body, 'buffer')
    return {
      ...rest,
      id,
      subject,
      actor,
      thread,
      timestamp,
      received_at,
      headers: Object.keys(headers).length === 0 ? null : headers,
      body_sha256,
      // Most senders sign the body itself, whose hash is known.
      signed_sha256:
        signed === null || signed === incoming.body
          ? signed && body_sha256
          : hash('sha256', signed, 'buffer'),
      ...this.#owed(matched, { ...incoming, actor, thread }, { at: received_at, wait_ms }, () => ({
        ...attributes,
        subject,
        actor,
        thread,
        payload: payload.value,
      })),
    }
  }

  /** What an event starts: a run for each trigger that it matches, or none where it closes a loop. */
  #owed(
    matched: Trigger[],
    event: Caused,
    when: When,
    scope: () => MatchEvent,
  ): { decisions: Decision[]; runs: NewRun[] } {
    const isLooping = (event.causation?.depth ?? 0) > this.#options.limits.loop_depth
    const isOwn = matched.length > 0 && this.#isOwn(event, scope)
    const outcomeFor = ({ policy }: Trigger): Decision['outcome'] =>
      isLooping ? 'loop_held' : isOwn && policy.own_events !== true ? 'own_event' : 'routed'
    const decisions = matched.map((trigger): Decision => ({
      trigger_id: trigger.id,
      trigger_version: trigger.version,
      outcome: outcomeFor(trigger),
    }))
    const conversation = this.#conversation(event)
    const started = matched.filter((_, index) => decisions[index]!.outcome === 'routed')
    return {
      decisions,
      runs: started.map(each =>
        this.#run(each, when, { replay: false, scope, conversation, requested_by: event.requested_by }),
      ),
    }
  }

  #isForge(source_id: string): boolean {
    const source = this.#options.registry.sources.get(source_id)
    return source !== undefined && isForgeSource(source)
  }

  /** Whether an account of this router's own bots caused an event of a forge. What a run is known to have caused is the loop guard's. */
  #isOwn({ source_id, actor, by_run = false }: Caused, scope: () => MatchEvent): boolean {
    return (
      !by_run &&
      this.#isForge(source_id) &&
      this.#options.registry.ownAccounts.has(actor, () => scope().payload)
    )
  }

  #conversation({ source_id, thread, by_run = false }: Caused): Conversation | undefined {
    return thread === null || by_run ? undefined : { source_id, thread, isForge: this.#isForge(source_id) }
  }

  /** Routes lifecycle events that are stored already, in order; answers how many: fewer where too many runs would be open. */
  async route(events: StoredEvent[]): Promise<number> {
    const { store, registry, limits, now, onRuns, onCancel } = this.#options
    const at = now()
    const requests = events.map((event): RouteRequest => {
      const { matched } = registry.match(attributesOf(event), storedPayload(event))
      return {
        event_id: event.id,
        at,
        ...this.#owed(
          matched,
          { ...event, requested_by: undefined, by_run: event.causation !== null },
          { at, wait_ms: 0 },
          () => eventView(event),
        ),
      }
    })
    const { routed, cancel } = await store.route(requests, limits)
    if (cancel.length > 0) onCancel(cancel)
    onRuns([...new Set(requests.slice(0, routed).flatMap(({ runs }) => runs.map(run => run.bot_id)))])
    return routed
  }

  #run(
    trigger: Trigger,
    when: When,
    how: Pick<RunMaking, 'replay' | 'scope' | 'conversation' | 'requested_by'>,
  ): NewRun {
    return newRun(trigger, { id: this.#options.makeId(when.at), ...when, ...how }, this.#options.tools)
  }

  #answer(outcome: AcceptOutcome, event: NewEvent): Accepted | Fault {
    const { log } = this.#options
    const common = { source_id: event.source_id, type: event.type, bytes: event.body.byteLength }
    switch (outcome.kind) {
      case 'accepted': {
        const matched_triggers = outcome.decisions.map(decision => decision.trigger_id)
        if (outcome.cancel.length > 0) this.#options.onCancel(outcome.cancel)
        log('event.accepted', {
          event_id: event.id,
          ...common,
          matched_triggers,
          redelivery_of: outcome.redelivery_of ?? undefined,
        })
        const decisions = withRuns(outcome.decisions, outcome.run_ids)
        return {
          event_id: event.id,
          duplicate: false,
          matched_triggers,
          runs: outcome.run_ids,
          redelivery_of: outcome.redelivery_of,
          decisions,
        }
      }
      case 'duplicate':
        log('event.duplicate', { event_id: outcome.event_id, ...common })
        return {
          event_id: outcome.event_id,
          duplicate: true,
          matched_triggers: outcome.matched_triggers,
          runs: outcome.run_ids,
          redelivery_of: null,
        }
      case 'key_reused':
        return new Fault(
          'key_reused',
          `the delivery id or idempotency key was used before, by event ${outcome.event_id}, with another body; nothing was stored. Send a new event under a new id`,
          {
            data: { event_id: outcome.event_id },
          },
        )
      case 'backlog':
        return this.#backlog('nothing was stored')
      case 'source_off':
        return outcome.exists
          ? new Fault(
              'disabled',
              `the source ${event.source_id} was disabled meanwhile; nothing was stored. Enable it with source.enable`,
            )
          : new Fault('not_found', `the source ${event.source_id} was deleted meanwhile; nothing was stored`)
    }
  }

  #backlog(what: string): Fault {
    return new Fault(
      'overloaded',
      `${this.#options.limits.max_open_runs} runs may wait or run at once, and they do; ${what}, try again later`,
      {
        reason: 'E_BACKLOG',
        retryAfterS: 30,
      },
    )
  }

  /**
   * What a stored event would start now: the triggers it matches, as runs marked as replays.
   * only narrows it to one trigger, which need not be enabled.
   */
  plan(
    event: StoredEvent,
    only: LogFilter<Trigger> | undefined,
    only_missing: boolean,
    requested_by?: string,
  ): ReplayRequest {
    const { registry, now } = this.#options
    const at = now()
    const matched =
      only === undefined
        ? registry.match(attributesOf(event), storedPayload(event)).matched
        : only.match(event).filter(each => listensTo(each.event_source_id, event.source_id))
    return {
      event_id: event.id,
      at,
      only_missing,
      runs: matched.map(each => this.#run(each, { at, wait_ms: 0 }, replayed(event, requested_by))),
    }
  }

  /** Writes planned replays; answers the ids of the runs that were made. */
  async replay(requests: ReplayRequest[]): Promise<string[]> {
    this.#options.assertOpen()
    const { store, limits } = this.#options
    const written = await store.replay(requests, limits.max_open_runs)
    if (written === null) throw this.#backlog('no run was made')
    this.#options.onRuns([...new Set(requests.flatMap(request => request.runs.map(run => run.bot_id)))])
    return written
  }
}
