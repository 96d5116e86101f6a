// signalbox test: try a filter or a trigger on an event before it is enabled, or run test cases against the triggers in the same files.
import type { Command } from 'commander'
import type { DraftEvent, DraftTrigger } from '../client/client.ts'
import { printConditions } from './explain.ts'
import { runCases } from './golden.ts'
import { paint, plain } from './output.ts'
import { jsonArgument, NoError, UsageError, type Session } from './session.ts'

interface TestOptions {
  file?: string
  junit?: string
  trigger?: string
  filter?: string
  draft?: string
  event?: string
  eventFile?: string
}

export function addTest(program: Command, session: () => Session): void {
  program
    .command('test')
    .description(
      'run the test cases (*.test.yaml) against the triggers in the same files, without a router; or, with --event, try one trigger on an event: matched or not, why, and the inputs. Exit code 1 when it does not',
    )
    .option(
      '-f, --file <path>',
      'a file or a directory with triggers and cases. Default: the current directory',
    )
    .option('--junit <file>', 'write the results of cases as JUnit XML too')
    .option('-t, --trigger <id>', 'a stored trigger')
    .option('--filter <json>', 'a filter; @file for a file')
    .option('-d, --draft <json>', 'a whole trigger; @file for a file')
    .option('-e, --event <id>', 'a logged event (or "last")')
    .option('--event-file <path>', 'an event as JSON {"type": ..., "payload": ...}; - for standard input')
    .action(async ({ file, junit, trigger, filter, draft, event, eventFile }: TestOptions) => {
      const one = [trigger, filter, draft, event, eventFile].some(each => each !== undefined)
      if (one && (file ?? junit) !== undefined)
        throw new UsageError(
          '--file and --junit are for cases, which name their triggers and events themselves',
        )
      if (!one) return runCases(session(), file ?? '.', junit)
      if ([trigger, filter, draft].filter(each => each !== undefined).length !== 1)
        throw new UsageError('give one of --trigger, --filter and --draft')
      if ((event === undefined) === (eventFile === undefined))
        throw new UsageError('give one of --event and --event-file')
      const current = session()
      const { output } = current
      const answer = await current.call('trigger.test', {
        trigger_id: trigger,
        ...(filter === undefined
          ? {}
          : { filter: jsonArgument(filter, 'the filter') as Record<string, unknown> }),
        ...(draft === undefined ? {} : { trigger: jsonArgument(draft, 'the draft') as DraftTrigger }),
        ...(event === undefined ? {} : { event_id: await current.eventId(event) }),
        ...(eventFile === undefined
          ? {}
          : { event: jsonArgument(eventFile === '-' ? '-' : `@${eventFile}`, 'the event') as DraftEvent }),
      })
      if (output.json) output.line(JSON.stringify(answer))
      else {
        output.line(
          `${answer.matched ? paint(output, 'green', '✓ matched') : paint(output, 'red', '✗ did not match')}: ${plain(answer.reason)}`,
        )
        printConditions(output, answer.conditions, '  ')
        if (answer.inputs !== undefined)
          output.line(plain(`inputs ${JSON.stringify(answer.inputs, null, 2)}`, true))
        if (answer.inputs_error !== undefined)
          output.line(paint(output, 'red', plain(`the inputs cannot be made: ${answer.inputs_error}`)))
      }
      if (!answer.matched || answer.inputs_error !== undefined) throw new NoError('')
      return undefined
    })
}
