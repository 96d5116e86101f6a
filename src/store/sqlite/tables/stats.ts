// Counts of runs by queue, bot and trigger, for people: what waits and runs now, and how the last ones went.
import { isNeed, type RunCounts, type RunStats, type RunTimes } from '../../store.ts'
import type { Db } from '../db.ts'
import { textOf } from './rows.ts'

/** Ended runs that are looked at, newest first. */
const mostEnded = 20_000

interface Ended {
  queue: string
  bot_id: string
  trigger_id: string
  state: string
  created_at: number
  not_before: number
  finished_at: number
  started_at: number | null
  /** 1: it began, and reported nothing */
  unreported: number
}

type Groups = Record<
  'queues' | 'bots' | 'triggers',
  Map<string, RunCounts & { starts: number[]; finishes: number[] }>
>

function of(
  groups: Groups,
  row: { queue: string; bot_id: string; trigger_id: string },
): (RunCounts & { starts: number[]; finishes: number[] })[] {
  const keys = { queues: row.queue, bots: row.bot_id, triggers: row.trigger_id }
  return (Object.keys(keys) as (keyof Groups)[]).map(name => {
    const key = keys[name]
    const id = isNeed(textOf(key)) ? '' : textOf(key)
    const known = groups[name].get(id)
    if (known !== undefined) return known
    const fresh = {
      id,
      waiting: 0,
      active: 0,
      dead: 0,
      done: 0,
      failed: 0,
      unreported: 0,
      starts: [],
      finishes: [],
    }
    groups[name].set(id, fresh)
    return fresh
  })
}

function times(values: number[]): RunTimes | undefined {
  if (values.length === 0) return undefined
  const sorted = values.toSorted((a, b) => a - b)
  return {
    average_ms: Math.round(sorted.reduce((sum, value) => sum + value, 0) / sorted.length),
    p95_ms: sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * 0.95) - 1)]!,
  }
}

function shown(group: Groups['queues']): RunCounts[] {
  return [...group.values()].map(({ starts, finishes, ...counts }) => {
    const [start, finish] = [times(starts), times(finishes)]
    return {
      ...counts,
      ...(start === undefined ? {} : { start }),
      ...(finish === undefined ? {} : { finish }),
    }
  })
}

/** The smallest id of a time. */
function firstId(time: number): Buffer {
  const id = Buffer.alloc(16)
  id.writeUIntBE(Math.min(Math.max(0, time), 2 ** 48 - 1), 0, 6)
  return id
}

/** Ids of events begin with the time at which they were logged: the index of ids finds the first of them, that of sources counts. */
function eventCounts(db: Db, since: number): RunStats['events'] {
  const first = db
    .prepare<[Buffer], number>('SELECT seq FROM event WHERE id >= ? ORDER BY id LIMIT 1')
    .pluck()
    .get(firstId(since))
  if (first === undefined) return []
  return db
    .prepare<[number], { source_id: string; count: number }>(
      `SELECT source_id, count FROM (SELECT source_id, (SELECT count(*) FROM event WHERE event.source_id = source_stat.source_id AND seq >= ?) AS count FROM source_stat)
       WHERE count > 0 ORDER BY count DESC, source_id`,
    )
    .all(first)
    .map(({ source_id, count }) => ({ source_id: textOf(source_id), count }))
}

/** since: of ended runs and events only those that ended or were logged then or later. */
export function runStats(db: Db, since: number): RunStats {
  const groups: Groups = { queues: new Map(), bots: new Map(), triggers: new Map() }
  const live = db
    .prepare<
      [number],
      {
        queue: string
        bot_id: string
        trigger_id: string
        state: string
        count: number
        oldest: number
        unreported: number
      }
    >(
      `SELECT queue, bot_id, trigger_id, state, count(*) AS count, min(created_at) AS oldest,
         sum(state IN ('failed', 'timed_out') AND finished_at >= ? AND attempt > 0 AND NOT EXISTS (SELECT 1 FROM run_usage WHERE run_seq = seq)) AS unreported
       FROM outbox GROUP BY queue, bot_id, trigger_id, state`,
    )
    .all(since)
  let awaiting_approval = 0
  for (const row of live) {
    if (row.state === 'awaiting_approval') awaiting_approval += row.count
    for (const counts of of(groups, row)) {
      counts.unreported += row.unreported
      if (row.state === 'failed' || row.state === 'timed_out') counts.dead += row.count
      else if (row.state === 'assigned' || row.state === 'running' || row.state === 'paused')
        counts.active += row.count
      else {
        counts.waiting += row.count
        counts.oldest_waiting_at = Math.min(counts.oldest_waiting_at ?? Infinity, row.oldest)
      }
    }
  }
  const ended = db
    .prepare<[number, number], Ended>(
      `SELECT queue, bot_id, trigger_id, state, created_at, not_before, finished_at, (SELECT started_at FROM attempt WHERE run_seq = seq AND number = 1) AS started_at,
         attempt > 0 AND NOT EXISTS (SELECT 1 FROM run_usage WHERE run_seq = seq) AS unreported
       FROM run_archive WHERE finished_at >= ? ORDER BY seq DESC LIMIT ?`,
    )
    .all(since, mostEnded)
  for (const row of ended) {
    for (const counts of of(groups, { ...row, queue: row.queue === '' ? row.bot_id : row.queue })) {
      counts.unreported += row.unreported
      if (row.state === 'completed') counts.done++
      else counts.failed++
      // A run that was put off for a later try has the time of that; what it waited for first is not kept.
      if (row.started_at !== null) counts.starts.push(Math.max(0, row.started_at - row.created_at))
      counts.finishes.push(row.finished_at - row.created_at)
    }
  }
  const unreported = [...live, ...ended].reduce((sum, row) => sum + row.unreported, 0)
  return {
    awaiting_approval,
    runs: ended.length,
    unreported,
    events: eventCounts(db, since),
    queues: shown(groups.queues),
    bots: shown(groups.bots),
    triggers: shown(groups.triggers),
  }
}
