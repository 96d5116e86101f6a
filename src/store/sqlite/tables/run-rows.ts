// Rows of runs, and what is damaged in them.
import type { Assignment, RunState } from '../../../contract/types.ts'
import { archiveChecks, damagedColumns, liveChecks } from './checks.ts'
import type { DamagedColumn } from './damage.ts'
import type { RunFlow } from '../../flow.ts'
import { isNeed, type DeadlineName, type HeldBy, type Need, type StoredRun } from '../../store.ts'
import { idText, textOf, numberOf, idOf } from './rows.ts'

/** Columns of outbox and run_archive, in the order in which both have them. */
export const runColumnNames = [
  'seq',
  'id',
  'event_seq',
  'trigger_id',
  'trigger_version',
  'bot_id',
  'workflow_id',
  'state',
  'ready',
  'priority',
  'not_before',
  'attempt',
  'attempt_base',
  'steps',
  'replay',
  'cancel_requested',
  'lease_token',
  'lease_until',
  'error',
  'result',
  'created_at',
  'updated_at',
  'finished_at',
  'queue',
  'need',
  'assignment',
  'allowed_tools',
  'flow',
  'parked_on',
  'held_by',
  'timeout_at',
  'deadline_at',
  'deadline_name',
  'pause_requested',
  'approved',
  'denials',
  'requested_by',
] as const
export const runColumns = runColumnNames.join(', ')

export interface RunRow {
  seq: number
  id: Buffer
  event_seq: number
  trigger_id: string
  trigger_version: number
  bot_id: string
  workflow_id: string | null
  state: RunState
  ready: number
  priority: number
  not_before: number
  attempt: number
  attempt_base: number
  steps: number
  replay: number
  cancel_requested: number
  lease_token: string | null
  lease_until: number | null
  error: string | null
  result: string | null
  created_at: number
  updated_at: number
  finished_at: number | null
  queue: string
  need: string | null
  assignment: string | null
  allowed_tools: string | null
  flow: string | null
  parked_on: string | null
  held_by: HeldBy | null
  timeout_at: number | null
  deadline_at: number | null
  deadline_name: DeadlineName | null
  pause_requested: number
  approved: number
  denials: number
  requested_by: string | null
}

/** The columns of a run whose value cannot be what was written. */
export function runDamage(row: RunRow, archived = false): readonly DamagedColumn[] {
  const damaged = damagedColumns(archived ? archiveChecks : liveChecks, row)
  return archived || damaged.length > 0 ? damaged : contradictions(row)
}

/** Columns that do not go together: the CHECKs of the table, which would refuse every change of such a row. */
function contradictions(row: RunRow): readonly DamagedColumn[] {
  const isHeld = row.state === 'assigned' || row.state === 'running' || row.state === 'paused'
  const isDead = row.state === 'failed' || row.state === 'timed_out'
  if (isHeld !== (row.lease_token !== null))
    return [{ column: 'lease_token', why: `a run that is ${row.state} has ${isHeld ? 'one' : 'none'}` }]
  if (isDead !== (row.finished_at !== null))
    return [{ column: 'finished_at', why: `a run that is ${row.state} has ${isDead ? 'one' : 'none'}` }]
  if (row.attempt < row.attempt_base)
    return [
      { column: 'attempt_base', why: `it must be at most attempt, ${row.attempt}; got ${row.attempt_base}` },
    ]
  if ((row.deadline_at === null) !== (row.deadline_name === null))
    return [{ column: 'deadline_name', why: 'it goes with deadline_at, or both are NULL' }]
  return []
}

const counts = new Set([
  'steps',
  'attempt',
  'attempt_base',
  'denials',
  'priority',
  'not_before',
  'created_at',
  'updated_at',
  'event_seq',
])
const flags = new Set(['ready', 'replay', 'cancel_requested', 'pause_requested', 'approved'])

/** A damaged row of a run with neutral values that every CHECK takes; damaged JSON stays, so that the run stays damaged. */
export function mendedRun(row: RunRow, damaged: readonly DamagedColumn[]): RunRow {
  const next: Record<string, unknown> = { ...row }
  for (const { column } of damaged) {
    if (column === 'id') next.id = idOf(row.id)
    else if (column === 'priority') next.priority = 0
    else if (counts.has(column)) next[column] = numberOf(next[column])
    else if (flags.has(column)) next[column] = 0
    else if (column === 'trigger_version') next[column] = 1
    else if (column === 'state') next[column] = 'failed'
    else if (
      ['trigger_id', 'bot_id', 'queue', 'need', 'assignment', 'allowed_tools', 'flow'].includes(column)
    )
      next[column] = textOf(next[column])
    else next[column] = null
  }
  // A flipped sign makes attempt less than any base.
  if (!((next.attempt as number) >= (next.attempt_base as number)))
    Object.assign(next, { attempt_base: 0, attempt: Math.max(0, next.attempt as number) })
  return next as unknown as RunRow
}

/** A run as it is stored; of a damaged one what can be read, and which columns cannot. */
export function storedRun(row: RunRow, event_id: string, archived: boolean): StoredRun {
  const damaged = runDamage(row, archived)
  if (damaged.length === 0) return readRun(row, event_id, archived)
  const mended = mendedRun(row, damaged)
  for (const column of ['need', 'assignment', 'allowed_tools', 'flow'] as const)
    if (damaged.some(each => each.column === column)) mended[column] = null
  return { ...readRun(mended, event_id, archived), damaged: damaged.map(({ column }) => column) }
}

function parsedOrNull(text: string | null): unknown {
  return text === null ? null : JSON.parse(text)
}

/** A run whose row has been checked. */
export function readRun(row: RunRow, event_id: string, archived: boolean): StoredRun {
  return {
    id: idText(row.id),
    seq: row.seq,
    event_id,
    trigger_id: row.trigger_id,
    trigger_version: row.trigger_version,
    bot_id: row.bot_id,
    queue: row.queue === '' && !isNeed(row.bot_id) ? row.bot_id : row.queue,
    workflow_id: row.workflow_id,
    state: row.state,
    dead: !archived && (row.state === 'failed' || row.state === 'timed_out'),
    replay: row.replay === 1,
    requested_by: row.requested_by,
    priority: row.priority,
    attempt: row.attempt,
    attempt_base: row.attempt_base,
    steps: row.steps,
    not_before: row.not_before,
    cancel_requested: row.cancel_requested === 1,
    pause_requested: row.pause_requested === 1,
    lease_token: row.lease_token,
    error: row.error,
    result: row.result,
    created_at: row.created_at,
    updated_at: row.updated_at,
    finished_at: row.finished_at,
    need: parsedOrNull(row.need) as Need | null,
    assignment: parsedOrNull(row.assignment) as Assignment | null,
    allowed_tools: parsedOrNull(row.allowed_tools) as string[] | null,
    flow: parsedOrNull(row.flow) as RunFlow | null,
    parked_on: row.parked_on,
    held_by: row.held_by,
    timeout_at: row.timeout_at,
    deadline_at: row.deadline_at,
    deadline_name: row.deadline_name,
    approved: row.approved === 1,
    denials: row.denials,
  }
}
