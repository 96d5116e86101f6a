// Claiming: what is due, for the bots that have room, in the order of priority, due time and id; whatever a gate or a
// queue keeps back blocks no other run.
//
// Due runs are in one index by bot, queue and rank (due time, less a minute a level of priority): the best of each
// queue is one step away however many wait. A run that a gate refuses is parked (lanes.ts) and the next is looked at.
import type { ToolRules } from '../../../tools.ts'
import type { RunFlow } from '../../flow.ts'
import {
  isNeed,
  type Choice,
  type ClaimAnswer,
  type ClaimedRun,
  type ClaimRequest,
  type StoredEvent,
} from '../../store.ts'
import type { Burial } from './burial.ts'
import { Choices, type Group } from './choices.ts'
import { damageText, type DamageLog } from '../tables/damage.ts'
import type { History } from '../tables/history.ts'
import type { Lanes } from './lanes.ts'
import type { Moving } from './moves.ts'
import type { Db } from '../db.ts'
import type { Queues } from './queues.ts'
import { idText, storedEvent } from '../tables/rows.ts'
import { readRun, runDamage, storedRun, type RunRow } from '../tables/run-rows.ts'
import { statements } from './claim-statements.ts'
import { type ClaimParts, type Claiming, weighed, rank, isHurt } from './claim-request.ts'

/** Runs of the future that one claim may let fall due. */
const dueAtOnce = 1000
/** Runs that one claim may park before it answers. */
const parkedAtOnce = 500
const overdueAtOnce = 100
const overdueAgainMs = 250
/** Questions that one claim may ask: each is a call to an approver. */
const askedAtOnce = 50

/** What one claim does. */
class Claim {
  readonly runs: ClaimedRun[] = []
  readonly asked: ClaimedRun[] = []
  /** by how much the count of open runs changed */
  openDelta = 0
  readonly #request: ClaimRequest
  readonly #sql: ReturnType<typeof statements>
  readonly #lanes: Lanes
  readonly #queues: Queues
  readonly #moving: Moving
  readonly #history: History
  readonly #tools: ToolRules
  readonly #burial: Burial
  readonly #damage: DamageLog
  readonly #room = new Map<string, number>()
  readonly #choices: Choices
  #parked = 0

  constructor(
    request: ClaimRequest,
    sql: ReturnType<typeof statements>,
    { lanes, queues, moving, history, burial, damage }: ClaimParts,
    tools: ToolRules,
  ) {
    this.#request = request
    this.#sql = sql
    this.#lanes = lanes
    this.#queues = queues
    this.#moving = moving
    this.#history = history
    this.#tools = tools
    this.#burial = burial
    this.#damage = damage
    this.#choices = new Choices(request, lanes.budgets, queues)
    for (const { bot_id, room, choices } of request.bots) this.#room.set(bot_id, choices?.length ?? room)
  }

  get #left(): number {
    return this.#request.limit - this.runs.length
  }

  /** Every queue in which a bot has due runs. */
  groups(): Group[] {
    return this.#request.bots.flatMap(({ bot_id }) => {
      const found: Group[] = this.#sql.hasDue.get(bot_id, '') === undefined ? [] : [{ bot_id, queue: '' }]
      for (
        let queue = this.#sql.nextQueue.get(bot_id, '');
        queue !== undefined;
        queue = this.#sql.nextQueue.get(bot_id, queue)
      )
        found.push({ bot_id, queue })
      return found
    })
  }

  /** Runs that a queue may begin now. */
  #queueRoom(queue: string): number {
    return this.#queues.room(queue, this.#request.now).room
  }

  /** The bot that a run of a group would go to; its need where none is found. */
  #botOf(row: RunRow, group: Group): string {
    return isNeed(row.bot_id) ? (this.#choices.best(group)?.bot_id ?? row.bot_id) : row.bot_id
  }

  /** The queue that the next run of a group is counted in. */
  #queueOf(group: Group): string {
    return group.queue === '' ? (this.#choices.best(group)?.bot_id ?? '') : group.queue
  }

  /** Runs of a group that may begin now, as far as bots and queues go. */
  #roomOf(group: Group): number {
    const own = this.#room.get(group.bot_id)!
    if (own <= 0) return 0
    const open = this.#choices.open(group)
    if (open === undefined || group.queue !== '')
      return Math.min(own, this.#queueRoom(group.queue), open?.length ?? Infinity)
    return open.length
  }

  /** Goes through the groups until nothing more can be taken. */
  run(groups: Group[]): void {
    let open = groups
    while (
      this.#left > 0 &&
      open.length > 0 &&
      this.#parked < parkedAtOnce &&
      this.asked.length < askedAtOnce
    ) {
      const looked = open.flatMap(group => {
        const room = Math.min(this.#roomOf(group), this.#left)
        return room <= 0
          ? []
          : this.#sql.due.all(group.bot_id, group.queue, room).map(row => ({ row, group }))
      })
      looked.sort((a, b) => rank(a.row) - rank(b.row) || a.row.seq - b.row.seq)
      let progress = false
      for (const { row, group } of looked)
        if (this.#left > 0 && this.asked.length < askedAtOnce && this.#roomOf(group) > 0)
          progress = this.#take(row, group) || progress
      if (!progress) return
      open = open.filter(
        group => this.#roomOf(group) > 0 && this.#sql.hasDue.get(group.bot_id, group.queue) !== undefined,
      )
    }
  }

  /** What a run is about; or why that cannot be delivered as it was. */
  #what(
    row: RunRow,
    flow: RunFlow | undefined,
  ): { event: StoredEvent; events?: StoredEvent[] } | { lost: string } {
    const found = this.#sql.event.get(row.event_seq)
    if (found === undefined)
      return { lost: `its event (row ${row.event_seq} of the table event) is not stored` }
    const event = storedEvent(found, this.#damage)
    const events =
      flow?.batch === undefined
        ? undefined
        : this.#sql.batch.all(row.seq).map(each => storedEvent(each, this.#damage))
    const hurt = [event, ...(events ?? [])].find(isHurt)
    if (hurt !== undefined) return { lost: `event ${hurt.id} is damaged in ${hurt.damaged!.join(', ')}` }
    if (events === undefined) return { event }
    const count = this.#sql.batched.get(row.seq)!
    return count === events.length && count > 0
      ? { event, events }
      : { lost: `${count - events.length} of the ${count} events of its batch are not stored` }
  }

  /** Takes a run, or parks it, asks about it, or buries it; true: it no longer blocks its group. */
  #take(row: RunRow, group: Group): boolean {
    const { now } = this.#request
    const damaged = runDamage(row)
    if (damaged.length > 0) {
      this.openDelta += this.#burial.bury(row, damaged, now)
      return true
    }
    if (row.deadline_name === 'max_age_ms' && row.deadline_at! <= now) return this.#tooOld(row)
    const flow = row.flow === null ? undefined : (JSON.parse(row.flow) as RunFlow)
    const isBound = flow !== undefined || this.#lanes.budgets.defined.any || this.#lanes.pauses.any
    const verdict = isBound
      ? this.#lanes.judge(row, flow ?? {}, this.#botOf(row, group), now)
      : ({ kind: 'go' } as const)
    if (verdict.kind === 'park') {
      this.#parked++
      this.#lanes.park(row, verdict, now)
      return true
    }
    const what = this.#what(row, flow)
    if ('lost' in what) return this.#fail(row, what.lost)
    try {
      if (verdict.kind === 'ask') return this.#ask(row, flow!, what)
      this.#lease(row, group, flow, what)
    } catch (error) {
      // The table refuses the row for something that was not looked for. Nothing of it was written: its own row comes first.
      if ((error as { code?: string }).code?.startsWith('SQLITE_CONSTRAINT') !== true) throw error
      this.openDelta += this.#burial.bury(
        row,
        [{ column: 'seq', why: `its row cannot be changed: ${(error as Error).message}` }],
        now,
      )
    }
    return true
  }

  /** Its event cannot be delivered: it is dead, and blocks no other run. */
  #fail(row: RunRow, reason: string): true {
    const { now } = this.#request
    this.#damage.add(damageText('outbox', row.seq, { column: 'event_seq', why: reason }))
    const { openDelta } = this.#moving.move([
      {
        run_id: idText(row.id),
        move: 'fail',
        from: ['pending'],
        to: 'failed',
        at: now,
        reason,
        error: reason,
      },
    ])
    this.openDelta += openDelta
    return true
  }

  /** Its time to begin is over: it is not begun any more. */
  #tooOld(row: RunRow): true {
    const reason = 'max_age_ms is over'
    const { openDelta } = this.#moving.move([
      {
        run_id: idText(row.id),
        move: 'cancel',
        from: ['pending'],
        to: 'cancelled',
        archive: true,
        at: this.#request.now,
        reason,
        error: reason,
      },
    ])
    this.openDelta += openDelta
    return true
  }

  #ask(row: RunRow, flow: RunFlow, what: Pick<ClaimedRun, 'event' | 'events'>): true {
    const { now } = this.#request
    const answer_by = flow.approval!.timeout_ms === null ? null : now + flow.approval!.timeout_ms
    // The nearer of the two limits; the other is set again with the next move.
    const [deadline_at, deadline_name] =
      answer_by !== null && answer_by < (row.deadline_at ?? Infinity)
        ? ([answer_by, 'approval'] as const)
        : ([row.deadline_at, row.deadline_name] as const)
    this.#sql.ask.run(now, deadline_at, deadline_name, row.seq)
    this.#history.add(row, { at: now, move: 'ask', state: 'awaiting_approval', reason: null })
    this.#lanes.asks(row, flow, now)
    const asked: RunRow = {
      ...row,
      state: 'awaiting_approval',
      steps: row.steps + 1,
      deadline_at,
      deadline_name,
      updated_at: now,
    }
    this.asked.push({ ...readRun(asked, what.event.id, false), ...what })
    return true
  }

  #lease(
    row: RunRow,
    group: Group,
    flow: RunFlow | undefined,
    what: Pick<ClaimedRun, 'event' | 'events'>,
  ): void {
    const { now, lease_until, lease_token, worker_tokens } = this.#request
    const queue = this.#queueOf(group)
    const choice = this.#choices.take(group)
    const bot_id = choice?.bot_id ?? row.bot_id
    const assignment =
      choice === undefined ? row.assignment : JSON.stringify(weighed(choice.assignment, row.priority))
    const allowed_tools = this.#permitted(row.allowed_tools, choice ?? { bot_id })
    const worker_token = worker_tokens?.[this.runs.length]
    // To a worker it is only assigned: it counts as an attempt when that begins.
    const [move, state, attempt, token] =
      worker_token === undefined
        ? (['dispatch', 'running', row.attempt + 1, lease_token] as const)
        : (['claim', 'assigned', row.attempt, worker_token] as const)
    const start_by =
      worker_token === undefined || flow?.start_timeout_ms === undefined ? null : now + flow.start_timeout_ms
    const deadline_name = start_by === null ? null : 'start_timeout_ms'
    this.#sql.lease.run(
      state,
      attempt,
      token,
      lease_until,
      now,
      bot_id,
      queue,
      assignment,
      allowed_tools,
      start_by,
      deadline_name,
      row.seq,
    )
    const reason = choice === undefined ? null : `assigned to ${bot_id}`
    this.#history.add(row, { at: now, move, state, attempt, bot_id, queue, reason })
    this.#queues.add(row.queue, 'pending', -1)
    this.#queues.add(queue, state, 1)
    this.#queues.began(queue, now)
    this.#room.set(group.bot_id, this.#room.get(group.bot_id)! - 1)
    if (flow !== undefined || this.#lanes.budgets.defined.any)
      this.#lanes.leased(row.seq, flow ?? {}, bot_id, now)
    this.#choices.began()
    const leased: RunRow = {
      ...row,
      state,
      attempt,
      bot_id,
      queue,
      assignment,
      allowed_tools,
      lease_token: token,
      lease_until,
      updated_at: now,
      timeout_at: null,
      deadline_at: start_by,
      deadline_name,
    }
    this.runs.push({ ...readRun(leased, what.event.id, false), ...what })
  }

  /** What the bot of a run may use, as JSON: what was denied since the run was created counts too, and the list of a bot that was just chosen. */
  #permitted(
    allowed_tools: string | null,
    { bot_id, tools }: Pick<Choice, 'bot_id' | 'tools'>,
  ): string | null {
    if (allowed_tools === null && tools === undefined) return null
    const listed = allowed_tools === null ? undefined : (JSON.parse(allowed_tools) as string[])
    return JSON.stringify(this.#tools.permit(listed, { id: bot_id, tools }).allowed)
  }

  /** Whether no queue that a group's runs could be counted in has room; then the waiting group is noted. */
  #isClosed({ bot_id, queue }: Group): boolean {
    const choices = this.#choices.of({ bot_id, queue })
    if (choices !== undefined && queue === '' && choices.length === 0) return false
    // The next claim passes bots with a spent budget over, and may find others.
    if (this.#choices.blockSpent({ bot_id, queue })) return false
    const queues = choices !== undefined && queue === '' ? choices.map(choice => choice.bot_id) : [queue]
    const rooms = queues.map(each => ({ queue: each, ...this.#queues.room(each, this.#request.now) }))
    if (rooms.some(({ room }) => room > 0)) return false
    for (const each of rooms) this.#queues.block(each.queue, bot_id, each.until)
    return true
  }

  /** What is left: bots with nothing due, and bots whose due runs are all in queues without room. */
  rest(groups: Group[]): Pick<ClaimAnswer, 'drained' | 'blocked' | 'spent'> {
    const drained: string[] = []
    const blocked: string[] = []
    for (const { bot_id } of this.#request.bots) {
      const open = groups.filter(
        group => group.bot_id === bot_id && this.#sql.hasDue.get(bot_id, group.queue) !== undefined,
      )
      if (open.length === 0) drained.push(bot_id)
      else if (open.every(group => this.#isClosed(group))) blocked.push(bot_id)
    }
    return { drained, blocked, spent: this.#choices.spent() }
  }
}

export function claiming(db: Db, parts: ClaimParts, tools: ToolRules): Claiming {
  const sql = statements(db)
  const { lanes, queues } = parts

  /** A run that was reported as overdue, and is still there, is looked at again a little later. */
  function nextDueAt(toldAt = -Infinity): number | null {
    const deadline = sql.nextDeadline.get()
    const next = typeof deadline === 'number' && deadline <= toldAt ? toldAt + overdueAgainMs : deadline
    const times = [sql.nextLater.get(), lanes.nextOpening(), queues.nextOpening(), next].filter(
      time => typeof time === 'number',
    )
    return times.length === 0 ? null : Math.min(...times)
  }

  return {
    nextDueAt,
    claim(request) {
      const { now } = request
      const before = new Set(lanes.due)
      for (const bot_id of sql.fallDue.all(now, dueAtOnce)) lanes.due.add(bot_id)
      lanes.tick(now)
      queues.tick(now)
      const overdue = sql.overdue
        .all(now, overdueAtOnce)
        .map(row => storedRun(row, idText(sql.eventId.get(row.event_seq) ?? Buffer.alloc(16)), false))
      const claim = new Claim(request, sql, parts, tools)
      const groups = claim.groups()
      claim.run(groups)
      const became_due = [...lanes.due].filter(bot_id => !before.has(bot_id))
      for (const bot_id of became_due) lanes.due.delete(bot_id)
      const answer = {
        runs: claim.runs,
        asked: claim.asked,
        overdue,
        ...claim.rest(groups),
        became_due,
        next_due_at: nextDueAt(now),
      }
      return { answer, openDelta: claim.openDelta }
    },
  }
}
