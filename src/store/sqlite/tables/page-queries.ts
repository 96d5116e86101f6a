// Pages of the log and of runs as SQL; a test shows the plan of every shape.
import { routerSource, type EventPage, type RunPage } from '../../store.ts'
import { eventColumns, eventLineColumns } from './rows.ts'
import { runColumns } from './run-rows.ts'

type Params = (string | number | Buffer)[]

/** A page of the log as SQL. */
export function eventPageSql(
  page: EventPage,
  sinceSeq: number | null,
  untilSeq: number | null,
): { sql: string; params: Params } {
  const { selection, order } = page
  const where: string[] = []
  const params: Params = []
  const add = (condition: string, ...values: Params): void => {
    where.push(condition)
    params.push(...values)
  }
  // A trigger's events are found through its decisions, in their order, which is the log's.
  const byTrigger = selection.trigger_id !== undefined
  const seq = byTrigger ? 'decision.event_seq' : 'event.seq'
  if (selection.trigger_id !== undefined) add('decision.trigger_id = ?', selection.trigger_id)
  // What the router tells is listed where it is asked for.
  else if (selection.source_id === undefined) add(`+event.source_id <> '${routerSource}'`)
  // The most telling field picks the index; a unary + keeps SQLite from picking another one for the others.
  const fields = (['requested_by', 'thread', 'actor', 'subject', 'source_id', 'type'] as const).filter(
    name => selection[name] !== undefined,
  )
  for (const [index, name] of fields.entries())
    add(`${index === 0 && !byTrigger ? '' : '+'}event.${name} = ?`, selection[name]!)
  // Its index leaves these out, and is used where the condition says so.
  if (selection.requested_by !== undefined && selection.requested_by !== 'local')
    where.push("event.requested_by <> 'local'")
  if (selection.matched !== undefined)
    add(`${fields.length === 0 && !byTrigger ? '' : '+'}event.matched = ?`, selection.matched ? 1 : 0)
  if (page.after !== null) add(`${seq} ${order === 'desc' ? '<' : '>'} ?`, page.after)
  if (sinceSeq !== null) add(`${seq} >= ?`, sinceSeq)
  if (untilSeq !== null) add(`${seq} < ?`, untilSeq)
  const from = byTrigger ? 'decision CROSS JOIN event ON event.seq = decision.event_seq' : 'event'
  const condition = where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`
  const columns = page.whole ? eventColumns : eventLineColumns
  return {
    sql: `SELECT ${columns} FROM ${from} ${condition} ORDER BY ${seq} ${order === 'desc' ? 'DESC' : 'ASC'} LIMIT ?`,
    params: [...params, page.limit],
  }
}

/** A page of runs as SQL, over what is live and what has ended. */
export function runPageSql(
  page: RunPage,
  eventSeq: number | null,
  sinceSeq: number | null = null,
  untilSeq: number | null = null,
): { sql: string; params: Params } {
  const common: string[] = []
  const values: Params = []
  const add = (condition: string, value: string | number): void => {
    common.push(condition)
    values.push(value)
  }
  const ofEvents = (['thread', 'actor'] as const).filter(name => page[name] !== undefined)
  const byEvent = eventSeq !== null || ofEvents.length > 0
  if (eventSeq !== null) add('event_seq = ?', eventSeq)
  if (ofEvents.length > 0) {
    const [first, ...rest] = ofEvents
    common.push(
      `event_seq IN (SELECT seq FROM event WHERE ${first} = ?${rest.map(name => ` AND +${name} = ?`).join('')})`,
    )
    values.push(...ofEvents.map(name => page[name]!))
  }
  const byPrincipal = page.requested_by !== undefined && page.requested_by !== 'local' && !byEvent
  if (page.requested_by !== undefined) {
    add(`${byPrincipal ? '' : '+'}requested_by = ?`, page.requested_by)
    // The index leaves out what the control socket caused, and is used where the condition says so.
    if (byPrincipal) common.push("requested_by <> 'local'")
  }
  if (page.trigger_id !== undefined)
    add(`${byEvent || byPrincipal ? '+' : ''}trigger_id = ?`, page.trigger_id)
  if (page.bot_id !== undefined)
    add(`${!byEvent && !byPrincipal && page.trigger_id === undefined ? '' : '+'}bot_id = ?`, page.bot_id)
  // As a literal, so that the partial indexes over states serve it; the contract has checked it to be a state's name.
  if (page.state !== undefined && /^[a-z_]+$/.test(page.state)) common.push(`state = '${page.state}'`)
  if (page.queue !== undefined) add('queue = ?', page.queue)
  if (page.after !== null) add('seq < ?', page.after)
  if (sinceSeq !== null) add('seq >= ?', sinceSeq)
  if (untilSeq !== null) add('seq < ?', untilSeq)
  // Of a conversation or an account there are few runs beside all of them: they are found by their events, and sorted.
  const part = (table: 'outbox' | 'run_archive', extra?: string): string => {
    const conditions = extra === undefined ? common : [...common, extra]
    const from = ofEvents.length > 0 && eventSeq === null ? `${table} INDEXED BY ${table}_event` : table
    return `SELECT ${runColumns}, ${table === 'outbox' ? 0 : 1} AS archived FROM ${from} ${conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`}`
  }
  const dead = "state IN ('failed', 'timed_out')"
  // One part for each state, each of them sorted by its index.
  const discarded = ['failed', 'timed_out'].map(state => `state = '${state}' AND state <> 'completed'`)
  const live = page.dead === undefined ? undefined : page.dead ? dead : `NOT ${dead}`
  const parts = [
    ...(page.failed === true && page.dead === false
      ? []
      : [part('outbox', page.failed === true ? dead : live)]),
    ...(page.dead === true
      ? []
      : page.failed === true
        ? discarded.map(state => part('run_archive', state))
        : [part('run_archive')]),
  ]
  return {
    sql: `${parts.join(' UNION ALL ')} ORDER BY seq DESC LIMIT ?`,
    params: [...parts.flatMap(() => values), page.limit],
  }
}
