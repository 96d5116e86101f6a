// router.* and rpc.*
import { contractDocument } from '../../contract/document.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'

export function routerMethods({
  status,
  health,
  setPaused,
  backup,
}: Context): Pick<
  Handlers,
  'router.status' | 'router.backup' | 'router.pause' | 'router.resume' | (`rpc.${string}` & keyof Handlers)
> {
  return {
    'router.status': () => status(),
    async 'router.pause'({ reason = 'no reason given' }) {
      await setPaused(reason)
      return { paused: true }
    },
    async 'router.resume'() {
      await setPaused(null)
      return { paused: false }
    },
    'router.backup': ({ path, with_output = false }) => backup(path, with_output),
    'rpc.discover': async () => ({ ...contractDocument() }),
    'rpc.health': () => health(),
    'rpc.cancel': async ({ id }, call) => ({ cancelled: call.cancel(id) }),
  }
}
