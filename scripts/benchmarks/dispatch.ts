// Hand-overs with a mebibyte of context each, beside SQLite taking the same bytes, a transaction each.
import Database from 'better-sqlite3'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { benchRouter } from './accept.ts'
import { freshDirectory, load, medianOf, ms, processCost, ratio, table, type Measured } from './measure.ts'

const total = 1000
const mebibyte = 1_048_576

/** SQLite alone: the same bytes, an fsync each. */
async function floor(): Promise<Measured> {
  const db = new Database(join(freshDirectory(), 'bare'))
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.exec('CREATE TABLE file (seq INTEGER PRIMARY KEY, content BLOB)')
  const insert = db.prepare('INSERT INTO file (content) VALUES (?)')
  const content = randomBytes(mebibyte)
  const measured = await load(total, 1, async () => insert.run(content))
  db.close()
  return measured
}

export async function benchDispatch(): Promise<void> {
  const bare = await medianOf(3, floor)
  const router = await benchRouter(0)
  const { client } = router
  await client.call('source.put', {
    source: { id: 'inbox', source_type: 'dispatch', config: { workflow_id: 'w' } },
  })
  await client.call('trigger.put', {
    trigger: {
      id: 'take',
      event_source_id: 'inbox',
      filter: { type: ['dispatch'] },
      action: { bot_id: 'off' },
    },
  })
  const content = randomBytes(mebibyte / 2).toString('hex')
  const rows = [
    [
      'SQLite alone, a transaction each',
      '1',
      String(bare.per_second),
      ms(bare.p50_ms),
      ms(bare.p99_ms),
      '-',
      '-',
    ],
  ]
  for (const inFlight of [1, 8]) {
    const before = processCost(router.pid).cpu_s
    const measured = await load(total, inFlight, () =>
      client.call('event.dispatch', { workflow_id: 'w', context_files: [{ name: 'a.txt', content }] }),
    )
    const cpu = ((processCost(router.pid).cpu_s - before) * 1000) / total
    const { per_second, p50_ms, p99_ms } = measured
    rows.push([
      'event.dispatch, 1 MiB of context',
      String(inFlight),
      String(per_second),
      ms(p50_ms),
      ms(p99_ms),
      ratio(per_second, bare.per_second),
      `${ms(cpu)} ms`,
    ])
  }
  table(
    `${total.toLocaleString('en-US')} hand-overs with 1 MiB of context`,
    ['what', 'in flight', '/s', 'p50 ms', 'p99 ms', 'to SQLite', 'CPU each'],
    rows,
  )
  console.log(`resident after them: ${processCost(router.pid).rss_mib.toFixed(0)} MiB`)
  client.close()
  process.kill(router.pid, 'SIGKILL')
}
