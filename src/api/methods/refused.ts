// event.refused: deliveries that the webhook intake refused.
import { defaults } from '../../contract/defaults.ts'
import type { RefusedDelivery } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { RefusedRow } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import { refusalReason } from '../../http/refusal-reasons.ts'
import type { Context } from './context.ts'
import { encodeCursor } from './pages.ts'

function shown({ seq: _, source_id, path, status, address, bytes, ...row }: RefusedRow): RefusedDelivery {
  const known = Object.entries({ source_id, path, status, address, bytes }).filter(
    ([, value]) => value !== null,
  )
  return { ...Object.fromEntries(known), ...row, ...refusalReason(row.reason, status) }
}

/** The row that a page ended with. Throws Fault invalid_params. */
function decoded(cursor: string | undefined): Pick<RefusedRow, 'seq' | 'last_at'> | null {
  if (cursor === undefined) return null
  const [, last_at, seq] =
    /^(\d{1,15})-(\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString('utf8')) ?? []
  if (seq === undefined)
    throw new Fault('invalid_params', 'unknown cursor; omit it to start from the beginning', {
      data: { path: 'cursor' },
    })
  return { last_at: Number(last_at), seq: Number(seq) }
}

export function refusedMethods({ refused }: Context): Pick<Handlers, 'event.refused'> {
  return {
    async 'event.refused'({ source_id, since, limit = defaults.Limit, cursor }) {
      const { page, next } = refused.list({ source_id, since, limit, after: decoded(cursor) })
      return {
        refused: page.map(shown),
        ...(next === null ? {} : { next_cursor: encodeCursor(`${next.last_at}-${next.seq}`) }),
      }
    },
  }
}
