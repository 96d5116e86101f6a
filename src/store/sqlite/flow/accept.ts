// Accepting events: known delivery? known body? then the event, its dedupe key, its decisions and its runs.
import { hash } from 'node:crypto'
import { formPayload } from '../../../body-text.ts'
import type { ContextFileBytes } from '../../../context-files.ts'
import type { Causation, Decision } from '../../../contract/types.ts'
import type {
  AcceptLimits,
  AcceptOutcome,
  NewEvent,
  NewRun,
  ReplayRequest,
  RouteOutcome,
  RouteRequest,
} from '../../store.ts'
import type { Admission } from './admission.ts'
import type { DamageLog } from '../tables/damage.ts'
import type { EventLog } from '../tables/event-log.ts'
import type { GateCounting } from '../tables/gate-counts.ts'
import { HashIndex } from '../tables/hash-index.ts'
import type { Db } from '../db.ts'
import {
  decisionsText,
  filesHash,
  hash48,
  idBytes,
  idText,
  parsed,
  readableDecisions,
  type Hashes,
} from '../tables/rows.ts'
import type { Sources } from '../tables/sources.ts'
import { type First, type Signed, statements } from './accept-statements.ts'

/** Whether these bytes were signed for a stored event: its body, or the JSON in the form, whose other fields are not signed. */
function isSigned({ body_sha256, form }: Signed, sha256: Buffer): boolean {
  if (body_sha256.equals(sha256)) return true
  const payload = form === null ? null : formPayload(form)
  return payload !== null && hash('sha256', payload, 'buffer').equals(sha256)
}

/** How far back a chain of causes is looked at. */
const longestChain = 100

/** An event that is stored, and what it is to start. */
interface Routing {
  seq: number
  bytes: number
  at: number
  given: Decision[]
  runs: NewRun[]
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Whether a stored hash is this one; a damaged one is never. */
function sameBytes(stored: unknown, given: Uint8Array): boolean {
  return stored instanceof Buffer && stored.equals(given)
}

function deliveryHash(source_id: string, key: string): number {
  return hash48(hash('sha256', `${source_id}\n${key}`, 'buffer'))
}

interface AcceptingParts {
  log: EventLog
  admission: Admission
  sources: Sources
  damage: DamageLog
  counts: GateCounting
}

export class Accepting {
  readonly #sql: ReturnType<typeof statements>
  readonly #deliveries: HashIndex
  readonly #bodies: HashIndex
  readonly #admission: Admission
  readonly #log: EventLog
  readonly #sources: Sources
  readonly #damage: DamageLog
  readonly #counts: GateCounting
  #open = 0

  constructor(db: Db, { log, admission, sources, damage, counts }: AcceptingParts) {
    this.#damage = damage
    this.#counts = counts
    this.#log = log
    this.#sources = sources
    this.#sql = statements(db)
    this.#admission = admission
    this.#deliveries = new HashIndex(db, 'delivery_index', 'delivery_hash')
    this.#bodies = new HashIndex(db, 'body_index', 'body_hash')
    this.recount()
  }

  /** Open runs, counted again. */
  recount(): void {
    this.#open = this.#sql.countOpen.get() as number
  }

  /** After a rollback nothing that was counted or remembered holds. */
  rolledBack(): void {
    this.recount()
    this.#deliveries.reload()
    this.#bodies.reload()
  }

  /** At a start, within a transaction. */
  catchUp(): void {
    this.#deliveries.catchUp()
    this.#bodies.catchUp()
  }

  /** An event was removed, and what it was known by has expired. */
  forget({ seq, delivery_hash, body_hash }: Hashes): void {
    if (delivery_hash !== null) this.#deliveries.forget(delivery_hash, seq)
    if (body_hash !== null) this.#bodies.forget(body_hash, seq)
  }

  get openRuns(): number {
    return this.#open
  }

  /** Tells the count of open runs what other writing does to it. */
  adjustOpenRuns(by: number): void {
    this.#open += by
  }

  accept(events: NewEvent[], limits: AcceptLimits): AcceptOutcome[] {
    const counted = new Map<string, number>()
    const outcomes = events.map(event => this.#acceptOne(event, limits, counted))
    for (const [source_id, count] of counted)
      this.#sql.countEvent.run(source_id, count, this.#log.received(0))
    return outcomes
  }

  /** The ids of the runs that were written; null, and nothing written, where too many would be open. */
  replay(requests: ReplayRequest[], max_open_runs: number): string[] | null {
    const most = requests.reduce((sum, request) => sum + request.runs.length, 0)
    return this.#open + most > max_open_runs
      ? null
      : requests.flatMap(request => this.#replayOne(request)).map(run => run.id)
  }

  #admit(runs: NewRun[], event_seq: number, body_bytes: number, at: number): ReturnType<Admission['admit']> {
    const admitted = this.#admission.admit(runs, { event_seq, body_bytes, at })
    this.#open += admitted.openDelta
    return admitted
  }

  #duplicate(first: First, event: NewEvent): AcceptOutcome {
    const event_id = idText(first.id)
    if (
      !sameBytes(first.body_sha256, event.body_sha256) ||
      !this.#sameFiles(first, event.context_files ?? [])
    )
      return { kind: 'key_reused', event_id }
    this.#damage.tolerate('event', first.seq, () => this.#sql.countDuplicate.run(first.seq))
    const run_ids = this.#sql.runsOf.all(first.seq, first.seq).map(idText)
    return {
      kind: 'duplicate',
      event_id,
      matched_triggers: (readableDecisions(first.decisions) ?? []).map(decision => decision.trigger_id),
      run_ids,
    }
  }

  #sameFiles({ seq, files_sha256 }: First, files: readonly ContextFileBytes[]): boolean {
    if (files_sha256 !== null) return files_sha256.equals(filesHash(files))
    const before = this.#sql.filesOf.all(seq)
    return (
      before.length === files.length &&
      before.every(
        ({ name, sha256 }, index) => name === files[index]!.name && sameBytes(sha256, files[index]!.sha256),
      )
    )
  }

  #knownDelivery(
    hash: number,
    { delivery_key, source_id, received_at }: NewEvent,
    { dedupe_ms }: AcceptLimits,
  ): First | undefined {
    for (const seq of this.#deliveries.find(hash)) {
      const key = [seq, delivery_key!, source_id, received_at - dedupe_ms] as const
      const first = this.#sql.known.get(...key) ?? this.#sql.removed.get(...key)
      if (first !== undefined) return first
    }
    return undefined
  }

  /** By what was signed; a form that an earlier version stored is known by the hash of all its bytes. */
  #redelivered(
    signed: Buffer,
    whole: Buffer,
    event: NewEvent,
    limits: AcceptLimits,
  ): { id: Buffer } | undefined {
    return (
      this.#knownBody(signed, event, limits) ??
      (signed.equals(whole) ? undefined : this.#knownBody(whole, event, limits))
    )
  }

  #knownBody(
    sha256: Buffer,
    { source_id }: NewEvent,
    { signed_body_ms }: AcceptLimits,
  ): { id: Buffer } | undefined {
    const hash = hash48(sha256)
    for (const seq of this.#bodies.find(hash)) {
      const before = this.#sql.knownBody.get(seq, source_id, this.#log.received(0) - signed_body_ms)
      if (before !== undefined && isSigned(before, sha256)) return before
      // Of a removed event the first 48 bits of what was signed are left: the body of a form is gone.
      const removed = this.#sql.removedBody.get(seq, source_id, hash, this.#log.received(0) - signed_body_ms)
      if (removed !== undefined) return removed
    }
    return undefined
  }

  #acceptOne(event: NewEvent, limits: AcceptLimits, counted: Map<string, number>): AcceptOutcome {
    if (event.source_guard === true) {
      const enabled = this.#sql.sourceEnabled.get(event.source_id)
      if (enabled !== 1) return { kind: 'source_off', exists: enabled !== undefined }
    }
    const delivery = event.delivery_key === null ? null : deliveryHash(event.source_id, event.delivery_key)
    if (delivery !== null) {
      const first = this.#knownDelivery(delivery, event, limits)
      if (first !== undefined) return this.#duplicate(first, event)
    }
    const only = event.once === undefined ? undefined : this.#sources.first(event.source_id, event.once)
    if (only !== undefined) return { kind: 'duplicate', event_id: only, matched_triggers: [], run_ids: [] }
    if (event.runs.length > 0 && this.#open + event.runs.length > limits.max_open_runs)
      return { kind: 'backlog' }
    const received_at = this.#log.received(event.received_at)
    const sha256 = asBuffer(event.body_sha256)
    const signed = event.signed_sha256 === null ? null : asBuffer(event.signed_sha256)
    const body = signed === null ? null : hash48(signed)
    const before = signed === null ? undefined : this.#redelivered(signed, sha256, event, limits)
    const routed = before === undefined || !event.log_redelivery_only
    const given = routed
      ? event.decisions
      : event.decisions.map(decision => ({ ...decision, outcome: 'redelivery_logged' as const }))
    const seq = this.#log.insert({
      id: idBytes(event.id),
      source_id: event.source_id,
      type: event.type,
      subject: event.subject,
      actor: event.actor,
      thread: event.thread,
      emitted: event.emitted,
      requested_by: event.requested_by ?? null,
      timestamp: event.timestamp,
      received_at,
      matched: given.length > 0,
      delivery_key: event.delivery_key,
      delivery_hash: delivery,
      body_hash: body,
      redelivery_of: before?.id ?? null,
      causation: event.causation === null ? null : JSON.stringify(event.causation),
      decisions: decisionsText(given),
      headers: event.headers === null ? null : JSON.stringify(event.headers),
      body_format: event.body_format,
      body_sha256: sha256,
      body: asBuffer(event.body),
    })
    for (const [position, { name, is_text, sha256, content }] of event.context_files?.entries() ?? [])
      this.#sql.insertFile.run(seq, position, name, is_text ? 1 : 0, content.byteLength, sha256, content)
    if (event.once !== undefined) this.#sources.keep({ ...event, received_at }, event.once)
    if (delivery !== null) this.#deliveries.add(delivery, seq)
    if (body !== null) this.#bodies.add(body, seq)
    for (const decision of given) this.#sql.insertDecision.run(decision.trigger_id, seq)
    const decided = this.#route(
      { seq, bytes: event.body.byteLength, at: event.received_at, given, runs: routed ? event.runs : [] },
      event,
      limits,
    )
    counted.set(event.source_id, (counted.get(event.source_id) ?? 0) + 1)
    const redelivery_of = before === undefined ? null : idText(before.id)
    return { kind: 'accepted', event_id: event.id, redelivery_of, routed, ...decided }
  }

  /** Admits the runs of an event that is stored, but for those that would close a loop, and keeps what was decided. */
  #route(
    { seq, bytes, at, given, runs: asked }: Routing,
    { causation, subject }: Pick<NewEvent, 'causation' | 'subject'>,
    limits: AcceptLimits,
  ): { decisions: Decision[]; run_ids: string[]; cancel: string[] } {
    if (asked.length === 0) {
      this.#counts.decided(given)
      return { decisions: given, run_ids: [], cancel: [] }
    }
    const repeats = causation === null ? undefined : this.#repeats(causation, subject)
    const runs = asked.filter(run => (repeats?.get(run.trigger_id) ?? 0) < limits.loop_repeats)
    const loops = asked
      .filter(run => !runs.includes(run))
      .map(({ trigger_id, trigger_version }) => ({
        trigger_id,
        trigger_version,
        outcome: 'loop_held' as const,
      }))
    const { decisions: admitted, run_ids, cancel } = this.#admit(runs, seq, bytes, at)
    const decisions = this.#decided(seq, given, [...loops, ...admitted])
    this.#counts.decided(decisions)
    return { decisions, run_ids, cancel }
  }

  /** Routes lifecycle events that waited for it, in order, up to the first whose runs would be too many. */
  route(requests: RouteRequest[], limits: AcceptLimits): RouteOutcome {
    const outcome: RouteOutcome = { routed: 0, run_ids: [], cancel: [] }
    for (const { event_id, at, decisions, runs } of requests) {
      if (runs.length > 0 && this.#open + runs.length > limits.max_open_runs) break
      outcome.routed++
      const event = this.#sql.routable.get(idBytes(event_id))
      if (event === undefined || this.#sql.wasUnrouted.run(event.seq).changes === 0) continue
      const { seq, body_bytes, subject, causation } = event
      for (const decision of decisions) this.#sql.insertDecision.run(decision.trigger_id, seq)
      if (decisions.length > 0) this.#decide(seq, decisions)
      const cause = parsed(causation) as Causation | null
      const { run_ids, cancel } = this.#route(
        { seq, bytes: body_bytes, at, given: decisions, runs },
        { causation: cause, subject },
        limits,
      )
      outcome.run_ids.push(...run_ids)
      outcome.cancel.push(...cancel)
    }
    return outcome
  }

  /** How often each trigger made a run about the same subject in the chain that led to an event. */
  #repeats(causation: Causation, subject: string | null): Map<string, number> {
    const counts = new Map<string, number>()
    let cause: Causation | null = causation
    for (let steps = 0; cause !== null && steps < longestChain; steps++) {
      const found = this.#sql.causing.get(idBytes(cause.run_id), idBytes(cause.run_id))
      if (found === undefined) break
      if (found.subject === subject) counts.set(found.trigger_id, (counts.get(found.trigger_id) ?? 0) + 1)
      cause = parsed(found.causation) as Causation | null
    }
    return counts
  }

  #decide(seq: number, decisions: Decision[]): void {
    this.#damage.tolerate('event', seq, () => this.#sql.setDecisions.run(decisionsText(decisions), seq))
  }

  /** The decisions as the gates left them; most leave all as they were. */
  #decided(seq: number, given: Decision[], admitted: Decision[]): Decision[] {
    if (admitted.every(decision => decision.outcome === 'routed')) return given
    const of = new Map(admitted.map(decision => [decision.trigger_id, decision]))
    const decisions = given.map(decision => of.get(decision.trigger_id) ?? decision)
    // The run that an event was debounced into is that event's, until a further one comes.
    const kept = decisions.map(each =>
      each.outcome === 'debounced' ? { ...each, outcome: 'routed' as const } : each,
    )
    this.#decide(seq, kept)
    return decisions
  }

  #replayOne(request: ReplayRequest): NewRun[] {
    const event = this.#sql.eventDecisions.get(idBytes(request.event_id))
    if (event === undefined) return []
    const { seq } = event
    const runs = request.only_missing
      ? request.runs.filter(
          run => this.#sql.hasRun.get(seq, run.trigger_id, seq, run.trigger_id) === undefined,
        )
      : request.runs
    if (runs.length === 0) return []
    this.#admit(runs, seq, event.body_bytes, request.at)
    const decisions = readableDecisions(event.decisions) ?? []
    for (const { trigger_id, trigger_version } of runs) {
      this.#sql.insertDecision.run(trigger_id, seq)
      if (!decisions.some(decision => decision.trigger_id === trigger_id))
        decisions.push({ trigger_id, trigger_version, outcome: 'replayed' })
    }
    this.#decide(seq, decisions)
    return runs
  }
}
