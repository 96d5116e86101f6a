// The row of a run after a move. Pure.
import type { RunFlow } from '../../flow.ts'
import {
  isWithWorker,
  needKey,
  type DeadlineName,
  type MoveOutcome,
  type Need,
  type RunMove,
} from '../../store.ts'
import { isActive, isOpen } from './queues.ts'
import { repeatsAfter } from './repeats.ts'
import type { RunRow } from '../tables/run-rows.ts'
import { tooOldAt } from './trigger-pauses.ts'

export const restingStates = new Set(['failed', 'timed_out'])

type Limits = Pick<RunRow, 'timeout_at' | 'deadline_at' | 'deadline_name'>

const noLimits: Limits = { timeout_at: null, deadline_at: null, deadline_name: null }

/** The nearest of an attempt's limits. */
function running(flow: RunFlow, timeout_at: number | null, at: number): Limits {
  const idle_at = flow.idle_timeout_ms === undefined ? Infinity : at + flow.idle_timeout_ms
  const nearest = Math.min(timeout_at ?? Infinity, idle_at)
  if (nearest === Infinity) return noLimits
  const deadline_name: DeadlineName = nearest === timeout_at ? 'timeout_ms' : 'idle_timeout_ms'
  return { timeout_at, deadline_at: nearest, deadline_name }
}

function untilTooOld(flow: RunFlow, created_at: number): Limits {
  const deadline_at = tooOldAt(flow, created_at)
  return deadline_at === null ? noLimits : { ...noLimits, deadline_at, deadline_name: 'max_age_ms' }
}

/** The time limits after a move. Those of a paused run are suspended. */
function limitsAfter(row: RunRow, flow: RunFlow, move: RunMove, began: boolean): Limits {
  const { timeout_at, deadline_at, deadline_name } = row
  const kept = { timeout_at, deadline_at, deadline_name }
  if (move.to === row.state && move.to !== 'running') return kept
  switch (move.to) {
    case 'running':
      // What the router has itself it ends itself.
      if (!isWithWorker(row)) return noLimits
      if (move.move === 'start')
        return running(flow, flow.timeout_ms === undefined ? null : move.at + flow.timeout_ms, move.at)
      if (move.move === 'resume')
        return running(
          flow,
          row.timeout_at === null ? null : row.timeout_at + (move.at - row.updated_at),
          move.at,
        )
      return move.move === 'extend' || move.move === 'progress'
        ? running(flow, row.timeout_at, move.at)
        : kept
    case 'paused':
      return { ...noLimits, timeout_at: row.timeout_at }
    case 'pending':
    case 'held':
    case 'awaiting_approval':
      return began ? noLimits : untilTooOld(flow, row.created_at)
    case 'assigned':
    case 'completed':
    case 'failed':
    case 'timed_out':
    case 'cancelled':
      return noLimits
  }
}

/** What a person who releases a run says to the gate that held it. */
function withoutGate(row: RunRow): Pick<RunRow, 'flow' | 'approved'> {
  if (row.held_by === null || row.held_by === 'person') return { flow: row.flow, approved: row.approved }
  const { depends_on, ...rest } = row.flow === null ? ({} as RunFlow) : (JSON.parse(row.flow) as RunFlow)
  const kept: RunFlow = {
    ...rest,
    ...(row.held_by === 'budget' ? { budgets_released: true } : {}),
    ...(row.held_by === 'dependency' || depends_on === undefined ? {} : { depends_on }),
  }
  return { flow: JSON.stringify(kept), approved: row.held_by === 'approval' ? 1 : row.approved }
}

/** A flow as it is kept after a move, as far as the repeat limit goes; most are the same. */
function withRepeats(flow: string | null, row: RunRow, move: RunMove): string | null {
  if (flow === null) return null
  const before = JSON.parse(flow) as RunFlow
  const after = repeatsAfter(before, row, move)
  return after === before ? flow : JSON.stringify(after)
}

/** Whether an attempt is over that counts: then a manual release has been used. */
function attemptEnds(row: RunRow, move: RunMove): boolean {
  return (
    isActive(row.state) && row.state !== 'assigned' && !isActive(move.to) && move.uncount_attempt !== true
  )
}

function withoutRelease(row: RunRow, flow: RunFlow): Pick<RunRow, 'flow' | 'approved'> {
  const { budgets_released: _, ...rest } = flow
  return { flow: JSON.stringify(rest), approved: row.approved }
}

function withoutOrder(flow: string | null): string | null {
  if (flow === null) return null
  const { order: _, ...rest } = JSON.parse(flow) as RunFlow
  return JSON.stringify(rest)
}

/** A flow that says where the inputs or the files of a run are. */
function withOverride(flow: string | null, { update }: RunMove): string | null {
  if (update?.inputs === undefined && update?.context_files === undefined) return flow
  return JSON.stringify({
    ...(flow === null ? {} : (JSON.parse(flow) as RunFlow)),
    overridden: true,
  } satisfies RunFlow)
}

/** What a move comes to where people have said something of the run that its mover did not know. */
export function actualMove(asked: RunMove, row: RunRow): RunMove {
  const lost = asked.to === 'pending' || asked.to === 'failed' || asked.to === 'timed_out'
  if (row.cancel_requested === 1 && lost) {
    // A worker that gives back a run that was to be cancelled meanwhile, or fails at it, has thereby ended it.
    const attempt = {
      started_at: 0,
      ended_at: asked.at,
      outcome: 'cancelled' as const,
      status: null,
      error: asked.reason ?? null,
      output: null,
    }
    const began =
      row.state !== 'assigned' && row.attempt > 0 && asked.attempt === undefined ? { attempt } : {}
    return {
      ...asked,
      ...began,
      uncount_attempt: false,
      move: 'acknowledge_cancel',
      to: 'cancelled',
      archive: true,
    }
  }
  if (row.state === 'paused' && asked.move === 'recover') {
    // It does not continue by itself: a person paused it, and its process is gone.
    const reason = `it was paused; ${asked.reason ?? 'its holder is gone'}`
    return { ...asked, to: 'held', held_by: 'person', reason, error: reason }
  }
  return asked
}

/** The row as it is to be after the move. */
export function moved(row: RunRow, move: RunMove): RunRow {
  const keepsLease = isActive(move.to)
  const not_before = move.not_before ?? row.not_before
  const counted =
    row.attempt - (move.uncount_attempt === true ? 1 : 0) + (move.count_attempt === true ? 1 : 0)
  const flow = row.flow === null ? null : (JSON.parse(row.flow) as RunFlow)
  const isUsed = flow?.budgets_released === true && attemptEnds(row, move)
  const released = move.move === 'release' ? withoutGate(row) : isUsed ? withoutRelease(row, flow) : row
  const need =
    (move.to === 'pending' || move.to === 'held') &&
    (isActive(row.state) || restingStates.has(row.state)) &&
    row.need !== null
      ? (JSON.parse(row.need) as Need)
      : undefined
  const stays = move.to === row.state
  return {
    ...row,
    state: move.to,
    // A worker that gives back a run that it got by its capabilities leaves it to the other bots too.
    priority: move.update?.priority ?? row.priority,
    bot_id: need === undefined ? row.bot_id : needKey(need),
    queue: need === undefined ? row.queue : (need.queue ?? ''),
    allowed_tools:
      need === undefined
        ? row.allowed_tools
        : need.allowed_tools === undefined
          ? null
          : JSON.stringify(need.allowed_tools),
    ready: not_before <= move.at ? 1 : 0,
    not_before,
    attempt: counted,
    attempt_base: move.fresh_attempts === true ? row.attempt : Math.min(row.attempt_base, counted),
    steps: row.steps + 1,
    cancel_requested: move.request_cancel === true || (keepsLease && row.cancel_requested === 1) ? 1 : 0,
    lease_token: keepsLease ? (move.new_lease_token ?? row.lease_token) : null,
    lease_until: keepsLease ? (move.lease_until ?? row.lease_until) : null,
    error: move.error === undefined ? row.error : move.error,
    result: move.result === undefined ? row.result : move.result,
    updated_at: move.touch === undefined ? move.at : row.updated_at,
    finished_at:
      move.archive === true
        ? (row.finished_at ?? move.at)
        : restingStates.has(move.to)
          ? (row.finished_at ?? move.at)
          : null,
    ...(flow === null ? noLimits : limitsAfter(row, flow, move, counted > 0)),
    flow: withRepeats(
      move.skip_order === true ? withoutOrder(row.flow) : withOverride(released.flow, move),
      row,
      move,
    ),
    approved: move.approve === true ? 1 : move.update === undefined ? released.approved : 0,
    denials: row.denials + (move.deny === true ? 1 : 0),
    parked_on:
      stays && !(move.skip_order === true && row.parked_on?.startsWith('order:') === true)
        ? row.parked_on
        : null,
    held_by: move.to === 'held' ? (move.held_by ?? (stays ? row.held_by : 'person')) : null,
    pause_requested: keepsLease ? Number(move.pause_requested ?? row.pause_requested === 1) : 0,
  }
}

/** What a move does to the count of open runs. */
export function openDelta(move: RunMove, outcome: MoveOutcome): number {
  if (outcome.kind !== 'moved') return 0
  const wasOpen = !restingStates.has(move.from[0]!)
  return Number(isOpen(outcome.run.state)) - Number(wasOpen)
}
