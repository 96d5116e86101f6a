// signalbox register: a source and its triggers at once, from a file.
import type { Command } from 'commander'
import type { Methods } from '../client/client.ts'
import { printWarnings } from './output.ts'
import { jsonFile, type Session } from './session.ts'

export function addRegister(program: Command, session: () => Session): void {
  program
    .command('register <file>')
    .description(
      'write a source and its triggers from a JSON file {"source": {...}, "triggers": [...]}; - for standard input',
    )
    .action(async (file: string) => {
      const current = session()
      const answer = await current.call(
        'event.register',
        jsonFile(file, file) as Methods['event.register']['params'],
      )
      const { output } = current
      printWarnings(answer)
      if (output.json) return output.line(JSON.stringify(answer))
      for (const kind of ['created', 'updated', 'unchanged'] as const)
        for (const what of answer.changes[kind]) output.line(`${kind.padEnd(9)}  ${what}`)
      if (answer.webhook_path !== undefined) output.line(`deliveries go to ${answer.webhook_path}`)
      return undefined
    })
}
