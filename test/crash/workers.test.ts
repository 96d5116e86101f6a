// Workers that are killed, stopped for longer than their leases, and started again, and a router that is killed under
// them: every run is done, and taken from one worker only. The books are kept by processes that import nothing of ours.
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SignalboxClient, type Run } from '../../src/client/client.ts'
import { bookLines } from '../faults/checker.ts'
import { child, firstLine } from '../support/processes.ts'
import { freshDirectory, until } from '../support/router.ts'

const faults = Number(process.env.SIGNALBOX_KILLS ?? 6)
const runsWanted = 300
const workersAtOnce = 4

interface Entry {
  worker: string
  began?: string
  completed?: string
  lost?: string
  code?: number
}

/** What the books say against what the router says. */
function wrongs(entries: readonly Entry[], runs: readonly Run[]): string[] {
  const by = (kind: 'began' | 'completed', id: string): string[] =>
    entries.filter(entry => entry[kind] === id).map(entry => entry.worker)
  const wrong: string[] = []
  for (const { id, state, result } of runs) {
    const completed = by('completed', id)
    if (state !== 'completed') wrong.push(`run ${id} is ${state}`)
    if (by('began', id).length === 0) wrong.push(`run ${id} is completed, and no worker began it`)
    if (new Set(completed).size > 1) wrong.push(`run ${id} was taken from ${completed.join(' and ')}`)
    const said = (result as { by?: string } | undefined)?.by
    // A worker that was killed between its answer and its books has written nothing.
    if (completed.length > 0 && completed[0] !== said)
      wrong.push(`run ${id} was taken from ${completed[0]}, the router says ${said}`)
  }
  for (const { code } of entries)
    if (code !== undefined && code !== -32003) wrong.push(`a worker was refused with ${code}`)
  return wrong
}

async function allRuns(client: SignalboxClient): Promise<Run[]> {
  const runs: Run[] = []
  for (let cursor: string | undefined; ;) {
    const page = await client.call('run.list', { limit: 500, ...(cursor === undefined ? {} : { cursor }) })
    runs.push(...page.runs)
    cursor = page.next_cursor
    if (cursor === undefined) return runs
  }
}

test(
  `${faults} faults of workers and of the router under load`,
  { timeout: 120_000 + faults * 3000 },
  async () => {
    const directory = freshDirectory()
    const [socket, ledger] = [join(directory, 'rpc.sock'), join(directory, 'ledger')]
    const env = {
      SIGNALBOX_STATE_DIR: join(directory, 'state'),
      SIGNALBOX_SOCKET: socket,
      SIGNALBOX_INTAKE_ADDRESS: join(directory, 'in.sock'),
      SIGNALBOX_LOG_LEVEL: 'error',
    }
    let router = child(['src/signalbox.ts', 'serve'], env)
    await firstLine(router)
    let client = await SignalboxClient.connect(socket)
    await client.call('source.put', { source: { id: 'jobs', source_type: 'service' } })
    await client.call('bot.put', {
      bot: { id: 'puller', endpoint: { kind: 'pull', lease_ms: 1000 }, max_active: 8 },
    })
    await client.call('trigger.put', {
      trigger: {
        id: 't',
        event_source_id: 'jobs',
        filter: { type: ['job'] },
        action: { bot_id: 'puller' },
        policy: { retry: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
      },
    })
    let named = 0
    const start = async (): Promise<ChildProcess> => {
      const worker = child(['test/crash/ledger-worker.mjs', ledger, socket, 'puller', `w${named++}`])
      await firstLine(worker)
      return worker
    }
    const workers = await Promise.all(Array.from({ length: workersAtOnce }, start))
    const books = (): Entry[] => bookLines(ledger)
    const emit = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n++)
        await client.call('event.emit', { source_id: 'jobs', type: 'job', payload: { n } })
    }
    const idle = async (): Promise<boolean> => {
      const { runs } = await client.call('router.status', {})
      return runs.pending + runs.running === 0
    }
    for (let fault = 0; fault < faults; fault++) {
      await emit(Math.ceil(runsWanted / faults))
      const enough = books().length + Math.floor(Math.random() * 10)
      // Or until there is nothing left to do: what was given out may be done before the books are looked at.
      await until(async () => books().length >= enough || (await idle()))
      const index = Math.floor(Math.random() * workers.length)
      const worker = workers[index]!
      if (fault % 6 === 5) {
        client.close()
        const gone = new Promise(resolve => router.once('exit', resolve))
        router.kill('SIGKILL')
        await gone
        router = child(['src/signalbox.ts', 'serve'], env)
        await firstLine(router)
        client = await SignalboxClient.connect(socket)
      } else if (fault % 2 === 0) {
        worker.kill('SIGKILL')
        workers[index] = await start()
      } else {
        // Stopped until another worker has had time to take its runs, while the others go on.
        worker.kill('SIGSTOP')
        setTimeout(() => worker.kill('SIGCONT'), 1500 + Math.random() * 1500)
      }
    }
    await until(idle)
    // The last one may be about to write its line.
    const runs = await allRuns(client)
    client.close()
    expect(runs.length).toBeGreaterThanOrEqual(runsWanted)
    const entries = books()
    expect(wrongs(entries, runs)).toEqual([])
    console.log(
      `${faults} faults, ${runs.length} runs, begun ${entries.filter(entry => entry.began !== undefined).length} times, ${entries.filter(entry => entry.lost !== undefined).length} late answers refused`,
    )
    // Control: books in which two have done the same run are found wrong.
    const done = entries.find(entry => entry.completed !== undefined)!
    expect(wrongs([...entries, { worker: 'another', completed: done.completed! }], runs)).not.toEqual([])
  },
)
