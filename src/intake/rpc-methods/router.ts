// router.* and rpc.*
import { contractDocument } from '../../contract/document.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'

export function routerMethods({ status, health }: Context): Pick<Handlers, 'router.status' | (`rpc.${string}` & keyof Handlers)> {
  return {
    'router.status': () => status(),
    'rpc.discover': async () => ({ ...contractDocument() }),
    'rpc.health': () => health(),
    'rpc.cancel': async ({ id }, call) => ({ cancelled: call.cancel(id) }),
  }
}
