// run.output and run.log: what attempts print, and what workers add to it.
import { isUtf8 } from 'node:buffer'
import { defaults } from '../../contract/defaults.ts'
import type { OutputPart, RunOutputResult } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { isWithWorker, mostPartBytes, type OutputPage, type StoredPart } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { missing, notFound } from './lookups.ts'

function shownPart({ offset, stream, at, content, split }: StoredPart): OutputPart {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  const shown = isUtf8(bytes) ? { text: bytes.toString('utf8') } : { base64: bytes.toString('base64') }
  return { offset, stream, at, ...shown, ...(split ? { split } : {}) }
}

/** An attempt from before output was kept has the end of its output in its row. */
function tailOf({ tail, tail_at }: OutputPage, after: number): { parts: OutputPart[]; bytes: number } {
  if (tail === null) return { parts: [], bytes: 0 }
  const bytes = Buffer.byteLength(tail)
  return { parts: after >= bytes ? [] : [{ offset: 0, stream: 'tail', at: tail_at, text: tail }], bytes }
}

export function shownPage(run_id: string, page: OutputPage, after: number): RunOutputResult {
  const tail = tailOf(page, after)
  return {
    run_id,
    attempt: page.attempt,
    parts: [...tail.parts, ...page.parts.map(shownPart)],
    next: Math.max(page.next, tail.bytes),
    more: page.more,
    total_bytes: Math.max(page.total_bytes, tail.bytes),
    ...(page.skipped_bytes > 0 ? { skipped_bytes: page.skipped_bytes } : {}),
    finished: page.finished,
    ...(page.removed ? { removed: true as const } : {}),
  }
}

/** Text as lines: what follows it, from a command or from another call, begins a line of its own. */
function lines(text: string): { content: Buffer; split: boolean } {
  const bytes = Buffer.from(text.endsWith('\n') ? text : `${text}\n`)
  // The newline that was added may be one byte too many.
  return bytes.length <= mostPartBytes
    ? { content: bytes, split: false }
    : { content: bytes.subarray(0, mostPartBytes), split: true }
}

export function outputMethods({
  config,
  store,
  workers,
  runs,
  watch,
  redact,
  now,
}: Context): Pick<Handlers, 'run.output' | 'run.log'> {
  return {
    async 'run.output'(
      { run_id, attempt, after, last_bytes, wait_ms = defaults.OutputWait, limit = defaults.OutputLimit },
      call,
    ) {
      if (after !== undefined && attempt === undefined)
        throw new Fault(
          'invalid_params',
          'attempt is required where after is given: a cursor belongs to one attempt; pass the attempt of the answer that had it',
          {
            data: { path: 'attempt' },
          },
        )
      if (after !== undefined && last_bytes !== undefined)
        throw new Fault(
          'invalid_params',
          'last_bytes and after exclude each other: a page begins at one place',
          { data: { path: 'last_bytes' } },
        )
      const look = (): Promise<OutputPage | null> =>
        store.output({
          run_id,
          ...(attempt === undefined ? {} : { attempt }),
          after: after ?? 0,
          ...(last_bytes === undefined ? {} : { last_bytes }),
          max_bytes: limit,
        })
      const isEnough = (page: OutputPage | null): boolean =>
        page === null || page.parts.length > 0 || page.finished || page.tail !== null
      const page = await watch.until(run_id, look, isEnough, wait_ms, call.signal())
      if (page !== null) return shownPage(run_id, page, after ?? 0)
      const run = await store.run(run_id)
      if (run === null) throw notFound('run', run_id, 'run.list')
      throw new Fault('not_found', `run ${run_id} has no attempt ${attempt}; its last one is ${run.attempt}`)
    },
    async 'run.log'({ run_id, lease_token, text }) {
      if (run_id === undefined || lease_token === undefined)
        throw missing(run_id === undefined ? 'run_id' : 'lease_token')
      const bytes = Buffer.byteLength(text)
      if (bytes > mostPartBytes)
        throw new Fault(
          'too_large',
          `text must have at most ${mostPartBytes} bytes of UTF-8; got ${bytes}. Send it in several calls`,
        )
      const run = await store.run(run_id)
      if (run?.state === 'assigned' && run.lease_token === lease_token)
        throw new Fault('invalid_state', `run ${run_id} has not begun; say so with run.start first`, {
          data: { state: run.state },
        })
      // It refuses a token that is not the run's, and keeps the run of a worker as a heartbeat does.
      const lease = await (isWithWorker({ lease_token })
        ? workers.extend(run_id, lease_token, {})
        : runs.progress(run_id, lease_token, {}))
      if (run === null) throw notFound('run', run_id, 'run.list')
      await store.appendOutput(
        [{ run_id, attempt: run.attempt, stream: 'log', at: now(), ...lines(redact(text)) }],
        config,
      )
      return lease
    },
  }
}
