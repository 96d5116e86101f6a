// The history of runs, and what of it is told to everybody: lifecycle events of the source "router", written in the same
// transaction as the change that they report, so that none is lost and none reports what did not happen.
import { hash } from 'node:crypto'
import type { Causation, RunState } from '../../../contract/types.ts'
import { uuidv7Maker } from '../../../ids.ts'
import { chosenBot, routerSource, type LifecycleEvents, type RunCount } from '../../store.ts'
import type { DamageLog } from './damage.ts'
import type { EventLog } from './event-log.ts'
import type { Db } from '../db.ts'
import { idBytes, idText, parsed } from './rows.ts'
import type { RunRow } from './run-rows.ts'

/** A result that is longer is left out of the event; run.get has it. */
const longestResult = 8192

/** Moves that are reported as outcomes, with the type of their event; with all, every other one is run.<move>. */
const outcomes: Record<string, string> = {
  complete: 'run.completed',
  fail: 'run.failed',
  time_out: 'run.timed_out',
  cancel: 'run.cancelled',
  acknowledge_cancel: 'run.cancelled',
  hold: 'run.held',
  release: 'run.released',
  ask: 'run.awaiting_approval',
  approve: 'run.approved',
  deny: 'run.denied',
  retry_later: 'run.retrying',
  recover: 'run.retrying',
  pause: 'run.paused',
  resume: 'run.resumed',
  retry: 'run.retried',
  discard: 'run.discarded',
}
const others: Record<string, string> = {
  create: 'run.created',
  dispatch: 'run.started',
  start: 'run.started',
  claim: 'run.assigned',
  update: 'run.updated',
}

const ended: ReadonlySet<RunState> = new Set(['completed', 'failed', 'timed_out', 'cancelled'])

/** A run before a step. */
export type Before = Pick<
  RunRow,
  | 'seq'
  | 'id'
  | 'event_seq'
  | 'trigger_id'
  | 'trigger_version'
  | 'bot_id'
  | 'queue'
  | 'workflow_id'
  | 'steps'
  | 'attempt'
  | 'result'
> & { state: RunState | null }

/** What a step changes; what is left out stays. */
export interface Step {
  at: number
  move: string
  reason: string | null
  progress?: { percent?: number; message?: string } | undefined
  state: RunState
  attempt?: number
  bot_id?: string
  queue?: string
  result?: string | null
}

interface Cause {
  id: Buffer
  source_id: string
  type: string
  subject: string | null
  causation: string | null
}

export class History {
  /** Runs that were created, and that ended, since this was taken last: how many, by what they are counted by. */
  #counted = new Map<string, RunCount>()
  /** Runs that took a step since this was taken last: ids by row. */
  readonly #changed = new Map<number, Buffer>()
  readonly #mode: LifecycleEvents
  readonly #log: EventLog
  readonly #damage: DamageLog
  readonly #insert
  readonly #cause
  readonly #unrouted
  readonly #listeners
  readonly #makeId = uuidv7Maker()
  /** whether any trigger listens to the router: only then events wait to be routed */
  #heard = false
  #waiting = false

  constructor(db: Db, log: EventLog, mode: LifecycleEvents, damage: DamageLog) {
    this.#damage = damage
    this.#mode = mode
    this.#log = log
    const row =
      'INTO run_history (run_seq, step, at, move, from_state, to_state, attempt, reason, percent, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
    this.#insert = { fail: db.prepare(`INSERT ${row}`), replace: db.prepare(`INSERT OR REPLACE ${row}`) }
    this.#cause = db.prepare<[number], Cause>(
      'SELECT id, source_id, type, subject, causation FROM event WHERE seq = ?',
    )
    this.#unrouted = db.prepare('INSERT OR IGNORE INTO unrouted (event_seq) VALUES (?)')
    this.#listeners = db
      .prepare<[string]>(
        `SELECT 1 FROM "trigger" WHERE json_valid(definition) AND definition ->> 'event_source_id' = ? AND coalesce(definition ->> 'enabled', 1) = 1 LIMIT 1`,
      )
      .pluck()
    this.reload()
  }

  /** After triggers were written. */
  reload(): void {
    this.#heard = this.#listeners.get(routerSource) !== undefined
  }

  /** Writes a step of a run, and tells it where it is one that is told. */
  add(before: Before, step: Step): void {
    const { at, move, state, reason, progress, attempt = before.attempt } = step
    const next = before.steps + 1
    this.#damage.insert('run_history', `${before.seq}, step ${next}`, or =>
      this.#insert[or].run(
        before.seq,
        next,
        at,
        move,
        before.state,
        state,
        attempt,
        reason,
        progress?.percent ?? null,
        progress?.message ?? null,
      ),
    )
    this.#count(before, step)
    this.#changed.set(before.seq, before.id)
    if (this.#mode === 'none') return
    const type = outcomes[move] ?? (this.#mode === 'all' ? (others[move] ?? `run.${move}`) : undefined)
    if (type !== undefined) this.#tellOf(type, { ...before, ...step }, before.state)
  }

  /** A run that is discarded has ended before. */
  #count({ state: from, bot_id }: Before, { move, state, bot_id: chosen = bot_id }: Step): void {
    if (move !== 'create' && (!ended.has(state) || (from !== null && ended.has(from)))) return
    const counted = move === 'create' ? null : state
    const key = `${counted} ${chosen}`
    const known = this.#counted.get(key)
    if (known === undefined) this.#counted.set(key, { bot_id: chosen, state: counted, count: 1 })
    else known.count++
  }

  takeCounted(): RunCount[] {
    if (this.#counted.size === 0) return []
    const counted = [...this.#counted.values()]
    this.#counted.clear()
    return counted
  }

  /** Ids of the runs that took a step since this was called last. */
  takeChanged(): string[] {
    const changed = [...this.#changed.values()].map(idText)
    this.#changed.clear()
    return changed
  }

  /** After a rollback nothing of it has happened. */
  rolledBack(): void {
    this.#counted.clear()
    this.#changed.clear()
    this.reload()
  }

  #tellOf(type: string, run: Before & Step, from: RunState | null): void {
    const cause = this.#cause.get(run.event_seq)
    const id = idText(run.id)
    const depth = (parsed(cause?.causation ?? null) as Causation | null)?.depth ?? 0
    const causation =
      cause === undefined
        ? null
        : JSON.stringify({ event_id: idText(cause.id), run_id: id, depth: depth + 1 } satisfies Causation)
    const told = {
      run: {
        id,
        trigger_id: run.trigger_id,
        trigger_version: run.trigger_version,
        bot_id: chosenBot(run),
        queue: run.queue === '' ? null : run.queue,
        workflow_id: run.workflow_id,
        state: run.state,
        attempt: run.attempt,
      },
      move: run.move,
      from,
      ...(run.reason === null ? {} : { reason: run.reason }),
      ...(cause === undefined
        ? {}
        : {
            event: {
              id: idText(cause.id),
              source_id: cause.source_id,
              type: cause.type,
              subject: cause.subject,
            },
          }),
    }
    // What a bot answered is JSON already.
    const result =
      run.state === 'completed' && run.result !== null && run.result.length <= longestResult
        ? `,"result":${run.result}`
        : ''
    this.#write(type, run.trigger_id, `${JSON.stringify(told).slice(0, -1)}${result}}`, causation, run.at)
  }

  /** Reports something that is no move of a run. */
  emitLifecycle(type: string, subject: string | null, payload: Record<string, unknown>, at: number): void {
    if (this.#mode !== 'none') this.#write(type, subject, JSON.stringify(payload), null, at)
  }

  #write(type: string, subject: string | null, text: string, causation: string | null, at: number): void {
    const body = Buffer.from(text)
    const received_at = this.#log.received(at)
    const seq = this.#log.insert({
      id: idBytes(this.#makeId(received_at)),
      source_id: routerSource,
      type,
      subject,
      actor: null,
      thread: null,
      emitted: false,
      requested_by: null,
      timestamp: at,
      received_at,
      matched: false,
      delivery_key: null,
      delivery_hash: null,
      body_hash: null,
      redelivery_of: null,
      causation,
      decisions: null,
      headers: null,
      body_format: 'json',
      body_sha256: hash('sha256', body, 'buffer'),
      body,
    })
    if (!this.#heard) return
    this.#unrouted.run(seq)
    this.#waiting = true
  }

  /** Whether events wait to be routed that did not when this was asked last. */
  takeUnrouted(): boolean {
    const waiting = this.#waiting
    this.#waiting = false
    return waiting
  }
}
