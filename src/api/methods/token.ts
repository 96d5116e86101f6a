// token.*, login.* and audit.list.
import { defaults } from '../../contract/defaults.ts'
import { Fault } from '../../errors.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { notFound } from './lookups.ts'
import { decodeSeq, encodeCursor, pageOf } from './pages.ts'

export function loginMethods({
  logins,
  loginLinks,
  startAdmin,
}: Context): Pick<Handlers, 'login.create' | 'login.list' | 'login.revoke'> {
  return {
    async 'login.create'({ role }, { principal }) {
      const { code, ...made } = logins.createCode(principal, role)
      const problem = await startAdmin()
      if (problem !== undefined) throw new Fault('not_ready', problem)
      const links = loginLinks(code)
      if (links === undefined)
        throw new Fault(
          'invalid_state',
          'the admin listener has no URL that a browser can open; set public_url, or a host and a port as admin_address',
        )
      return { ...links, ...made }
    },
    'login.list': async () => ({ logins: logins.list() }),
    'login.revoke': async ({ login_id }) => ({ login: await logins.revoke(login_id) }),
  }
}

export function tokenMethods(
  context: Context,
): Pick<Handlers, 'token.create' | 'token.list' | 'token.revoke' | 'audit.list'> {
  const { tokens, audit, registry, startAdmin } = context
  return {
    async 'token.create'(
      { name, role, scopes, bot_id, mcp = false, person = false, expires_in_ms, never_expires = false },
      { principal },
    ) {
      if (never_expires && expires_in_ms !== undefined)
        throw new Fault('invalid_params', 'expires_in_ms and never_expires exclude each other', {
          data: { path: 'never_expires' },
        })
      if (bot_id !== undefined && !registry.bots.has(bot_id))
        throw notFound('bot', bot_id, 'bot.list', registry.bots.keys())
      const wish = {
        name,
        role,
        scopes,
        bot_id,
        mcp,
        person,
        expires_in_ms: never_expires ? null : (expires_in_ms ?? defaults.TokenExpiresIn),
      }
      const made = await tokens.create(wish, principal.id)
      const warning = await startAdmin()
      return warning === undefined ? made : { ...made, warnings: [warning] }
    },
    'token.list': async () => ({ tokens: tokens.list() }),
    'token.revoke': async ({ token_id }) => ({ token: await tokens.revoke(token_id) }),
    async 'audit.list'({ limit, cursor, ...given }) {
      await audit.flush()
      const { page, next } = await pageOf(
        { limit, after: decodeSeq(cursor) },
        (after, count) => audit.entries({ ...given, limit: count, after }),
        entry => entry.seq,
        () => false,
      )
      return { entries: page, ...(next === null ? {} : { next_cursor: encodeCursor(next) }) }
    },
  }
}
