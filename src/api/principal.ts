// Who makes a call: the user of the control socket, a command on its own socket, or the holder of a token.
import type { AuditEntry, Role, Scope } from '../contract/types.ts'

export interface Principal {
  /** local, token:ID, bot:ID, user:NAME or environment. A login has that of its creator: it acts as them */
  id: string
  /** the name of a token; login ID */
  name: string | undefined
  /** the id of a login; undefined: this is not a login */
  login: string | undefined
  interface: AuditEntry['interface']
  /** remote address, over HTTP */
  address: string | undefined
  scopes: ReadonlySet<Scope>
  /** Whether an agent makes its calls. It needs the scope approve for what passes a gate. */
  agent: boolean
  /** the only bot whose runs it may work on; undefined: any */
  bot_id: string | undefined
}

export const allScopes: readonly Scope[] = [
  'read',
  'payload',
  'test',
  'emit',
  'write',
  'operate',
  'approve',
  'work',
  'admin',
  'metrics',
]

const operator: readonly Scope[] = ['read', 'payload', 'test', 'emit', 'operate', 'approve', 'metrics']

/** What each role allows. docs/admin.md has the same table. */
export const roleScopes: Readonly<Record<Role, readonly Scope[]>> = {
  viewer: ['read', 'metrics'],
  operator,
  developer: [...operator, 'write'],
  admin: allScopes,
  worker: ['work'],
  agent: ['read', 'test', 'emit'],
}

const everything = new Set(allScopes)

/** A principal that may do everything. */
function unlimited(id: string, of: AuditEntry['interface'], address?: string): Principal {
  return {
    id,
    name: undefined,
    login: undefined,
    interface: of,
    address,
    scopes: everything,
    agent: false,
    bot_id: undefined,
  }
}

/** A user who can reach the control socket. */
export const localPrincipal: Principal = unlimited('local', 'socket')

/** The holder of the token that the environment gives. */
export function environmentPrincipal(address: string | undefined): Principal {
  return unlimited('environment', 'http', address)
}

/** A command on the socket of its run. What it may do is decided by command-access.ts. */
export function commandPrincipal(bot_id: string): Principal {
  return { ...unlimited(`bot:${bot_id}`, 'command'), agent: true, bot_id }
}

/** A user that a trusted proxy names. */
export function userPrincipal(name: string, address: string | undefined, roles: readonly Role[]): Principal {
  const scopes = new Set(roles.flatMap(role => roleScopes[role]))
  return {
    id: `user:${name}`,
    name: undefined,
    login: undefined,
    interface: 'page',
    address,
    scopes,
    agent: false,
    bot_id: undefined,
  }
}
