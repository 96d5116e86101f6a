// signalbox rpc: any method, as it is.
import type { Command } from 'commander'
import type { Methods } from '../client/client.ts'
import { plain } from './output.ts'
import { jsonArgument, type Session } from './session.ts'

export function addRpc(program: Command, session: () => Session): void {
  program
    .command('rpc <method> [params]')
    .description('call a method of the contract; params as JSON, @file or -')
    .action(async (method: string, params: string | undefined) => {
      const current = session()
      const answer = await current.call(
        method as keyof Methods,
        (params === undefined ? {} : jsonArgument(params, 'params')) as never,
      )
      current.output.line(
        current.output.json ? JSON.stringify(answer) : plain(JSON.stringify(answer, null, 2), true),
      )
    })
}
