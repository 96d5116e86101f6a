// run.request: what an attempt asked of its bot, with the body where it can be made again as it was.
import { hash } from 'node:crypto'
import type { MadeRequest, RunRequestResult } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { notFound } from './lookups.ts'

/** A stored request; undefined if it does not exist or is damaged. */
export function shownRequest(text: string | null): MadeRequest | undefined {
  if (text === null) return undefined
  try {
    const read = JSON.parse(text) as MadeRequest | null
    return typeof read === 'object' && read !== null && typeof read.body_bytes === 'number' ? read : undefined
  } catch {
    return undefined
  }
}

export function runRequestMethods(context: Context): Pick<Handlers, 'run.request'> {
  const { store, runs, redact } = context

  /** The body that was sent, or why it is not known. */
  async function bodyOf(
    run_id: string,
    attempt: number,
    { body_sha256 }: MadeRequest,
  ): Promise<Pick<RunRequestResult, 'body' | 'body_missing'>> {
    if (body_sha256 === undefined) return { body_missing: 'it has more than 256 KiB' }
    const { prepared } = await runs.preview(run_id, attempt)
    if ('problem' in prepared) return { body_missing: `it cannot be made again: ${prepared.problem}` }
    if (hash('sha256', prepared.body) === body_sha256) return { body: redact(prepared.body) }
    return {
      body_missing:
        'it cannot be made again as it was: the bot sends messages to people, or has a body or params of its own, or its definition or the denied tools have changed',
    }
  }

  return {
    async 'run.request'({ run_id, attempt }) {
      const found = await store.history(run_id)
      if (found === null) throw notFound('run', run_id, 'run.list')
      const asked = found.attempts.flatMap(each => {
        const request = shownRequest(each.request ?? null)
        return request === undefined ? [] : [{ number: each.number, request }]
      })
      const wanted = attempt === undefined ? asked.at(-1) : asked.find(each => each.number === attempt)
      if (wanted === undefined)
        throw new Fault(
          'not_found',
          `of run ${run_id} no request ${attempt === undefined ? 'is' : `of attempt ${attempt} is`} kept; run.history shows its attempts`,
        )
      return {
        run_id,
        attempt: wanted.number,
        request: wanted.request,
        ...(await bodyOf(run_id, wanted.number, wanted.request)),
      }
    },
  }
}
