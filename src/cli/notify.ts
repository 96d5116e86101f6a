// signalbox notify: messages to people.
import type { Command } from 'commander'
import { ExitError } from '../errors.ts'
import { record } from './output.ts'
import type { Session } from './session.ts'

export function addNotify(program: Command, session: () => Session): void {
  program
    .command('notify')
    .description('messages to people')
    .command('test <bot>')
    .description('send a test message through a notify bot and print what the service answered')
    .action(async (bot_id: string) => {
      const answer = await session().call('bot.notify_test', { bot_id })
      record(session().output, answer)
      if (!answer.accepted)
        throw new ExitError(1, `the message was not accepted: ${answer.error ?? 'no reason was given'}`)
    })
}
