// Which runs a screen shows: the query of its address, as parameters of run.list. Pure: no DOM.
import type { Run, RunListParams } from '../../contract/types.ts'
import { shellQuote, timeIn } from '../text.ts'

/** Names in the address, and what they are called in the contract. */
export const fields = {
  trigger: 'trigger_id',
  bot: 'bot_id',
  queue: 'queue',
  thread: 'thread',
  actor: 'actor',
} as const

export const states: readonly Run['state'][] = [
  'pending',
  'awaiting_approval',
  'held',
  'assigned',
  'running',
  'paused',
  'completed',
  'failed',
  'timed_out',
  'cancelled',
]

/** Throws SyntaxError for what is no time. now: milliseconds, for lengths such as 2h */
export function selectionOf(query: URLSearchParams, now: number): RunListParams {
  const params: Record<string, unknown> = {}
  for (const [name, param] of Object.entries(fields))
    if ((query.get(name) ?? '') !== '') params[param] = query.get(name)
  const state = query.get('state') ?? ''
  if (state === 'any failure') params.failed = true
  else if (state === 'dead letter') params.dead = true
  else if (states.some(each => each === state)) params.state = state
  for (const name of ['since', 'until'])
    if ((query.get(name) ?? '') !== '') params[name] = timeIn(query.get(name)!, name, now)
  return params
}

/** Whether changes can be judged without asking the router: a run does not name the actor and the thread of its event. */
export function isSimple({ actor, thread, until }: RunListParams): boolean {
  return actor === undefined && thread === undefined && until === undefined
}

/** Whether a run is one of a selection that is simple. */
export function isSelected(run: Run, { state, dead, failed, since, ...ids }: RunListParams): boolean {
  if (state !== undefined && run.state !== state) return false
  if (dead === true && !run.dead) return false
  if (failed === true && run.state !== 'failed' && run.state !== 'timed_out') return false
  if (since !== undefined && run.created_at < since) return false
  return (['trigger_id', 'bot_id', 'queue'] as const).every(
    name => ids[name] === undefined || run[name] === ids[name],
  )
}

/** The command that lists the same. */
export function commandOf({ state, dead, failed, since, until, ...ids }: RunListParams): string {
  const parts = Object.entries(fields).flatMap(([flag, param]) => {
    const value = ids[param]
    return value === undefined ? [] : [`--${flag} ${shellQuote(value)}`]
  })
  if (state !== undefined) parts.push(`--state ${state}`)
  if (dead === true) parts.push('--dead')
  if (failed === true) parts.push('--failed')
  if (since !== undefined) parts.push(`--since ${new Date(since).toISOString()}`)
  if (until !== undefined) parts.push(`--until ${new Date(until).toISOString()}`)
  return ['signalbox runs list', ...parts].join(' ')
}
