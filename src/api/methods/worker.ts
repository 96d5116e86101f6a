// run.* for workers: what they ask for, and what they say of a run that they hold.
import { defaults } from '../../contract/defaults.ts'
import { usageReport } from '../../contract/budgets.ts'
import type { Delivery, Run, RunProgressParams, Usage } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { exactJson } from '../../exact-json.ts'
import { isWithWorker, type StoredRun, type UsageReport } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { missing } from './lookups.ts'
import { shownRun } from './shown-run.ts'

type WorkerMethod =
  | 'run.claim'
  | 'run.start'
  | 'run.heartbeat'
  | 'run.progress'
  | 'run.complete'
  | 'run.fail'
  | 'run.yield'

const maxDataBytes = 4096

/** Throws Fault too_large. */
function progressNote({
  percent,
  message = '',
  data,
}: Pick<RunProgressParams, 'percent' | 'message' | 'data'>): string {
  const text = data === undefined ? '' : JSON.stringify(data)
  if (Buffer.byteLength(text) > maxDataBytes)
    throw new Fault(
      'too_large',
      `data has at most ${maxDataBytes} bytes as JSON; found ${Buffer.byteLength(text)}`,
    )
  return [percent === undefined ? '' : `${percent} %`, message, text].filter(part => part !== '').join(': ')
}

function reported(usage: Usage | undefined): UsageReport | undefined {
  return usage === undefined ? undefined : usageReport(usage)
}

export function workerMethods(context: Context): Pick<Handlers, WorkerMethod> {
  const { workers, runs, redact } = context

  async function answer(work: Promise<StoredRun>): Promise<{ run: Run }> {
    return { run: shownRun(context, await work) }
  }

  return {
    async 'run.claim'({ bot_id, max = defaults.ClaimMax, wait_ms = defaults.ClaimWait, capabilities }, call) {
      const given = await workers.claim(bot_id, max, wait_ms, capabilities, call.signal(true))
      if (given.length > 0)
        call.handsOut(() =>
          workers.giveBack(given.map(({ run_id: id, lease_token }) => ({ id, lease_token }))),
        )
      return {
        leases: given.map(({ body, ...lease }) => ({ ...lease, delivery: exactJson(body) as Delivery })),
      }
    },
    'run.start': ({ run_id, lease_token }) => answer(workers.start_run(run_id, lease_token)),
    'run.heartbeat': ({ run_id, lease_token, paused }) => workers.extend(run_id, lease_token, { paused }),
    async 'run.progress'({ run_id, lease_token, usage, ...said }) {
      if (run_id === undefined || lease_token === undefined)
        throw missing(run_id === undefined ? 'run_id' : 'lease_token')
      const { percent } = said
      const message = said.message === undefined || said.message === '' ? undefined : redact(said.message)
      const note = redact(progressNote(said))
      const progress = {
        ...(percent === undefined ? {} : { percent }),
        ...(message === undefined ? {} : { message }),
      }
      // Usage alone is no row of the history: it may be reported often.
      const noted = {
        ...(note === '' && usage !== undefined ? {} : { note, progress }),
        usage: reported(usage),
      }
      return isWithWorker({ lease_token })
        ? workers.extend(run_id, lease_token, noted)
        : runs.progress(run_id, lease_token, noted)
    },
    'run.complete': ({ run_id, lease_token, result, usage }) =>
      answer(workers.complete(run_id, lease_token, result, reported(usage))),
    'run.fail': ({ run_id, lease_token, error, retryable = defaults.Retryable, after_ms, usage }) =>
      answer(workers.fail(run_id, lease_token, { error, retryable, after_ms, usage: reported(usage) })),
    'run.yield': ({ run_id, lease_token, after_ms = 0, reason }) =>
      answer(workers.yield(run_id, lease_token, after_ms, reason)),
  }
}
