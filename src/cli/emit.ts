// signalbox emit: log an event.
import type { Command } from 'commander'
import { paint } from './output.ts'
import { jsonArgument, type Session } from './session.ts'

export function addEmit(program: Command, session: () => Session): void {
  program
    .command('emit <source> <type>')
    .description('log an event and start what it matches')
    .option('-p, --payload <json>', 'payload; @file for a file, - for standard input', 'null')
    .option('-s, --subject <text>', 'what it is about, such as acme/site')
    .option('-k, --key <text>', 'idempotency key: the same key is the same event')
    .action(async (source_id: string, type: string, options: { payload: string; subject?: string; key?: string }) => {
      const current = session()
      const { output } = current
      const payload = jsonArgument(options.payload, 'the payload')
      const answer = await current.call('event.emit', { source_id, type, payload, subject: options.subject, idempotency_key: options.key })
      if (output.json) return output.line(JSON.stringify(answer))
      output.line(`event ${paint(output, 'bold', answer.event_id)}${answer.duplicate ? ' (known already: nothing new was stored)' : ''}`)
      if (answer.matched_triggers.length === 0) output.line(`no trigger matched; see why with: signalbox explain ${answer.event_id}`)
      for (const [index, trigger] of answer.matched_triggers.entries())
        output.line(`  ${paint(output, 'green', '✓')} ${trigger}  run ${answer.runs[index] ?? '-'}`)
      return undefined
    })
}
