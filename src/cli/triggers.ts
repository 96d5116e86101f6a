// signalbox triggers: when to start what.
import type { Command } from 'commander'
import type { Trigger, TriggerInput } from '../client/client.ts'
import { record, shortened, table } from './output.ts'
import { everyPage, jsonFile, mostAtOnce, type Session } from './session.ts'

export function addTriggers(program: Command, session: () => Session): void {
  const triggers = program.command('triggers').description('when to start what')
  const show = (trigger: Trigger): void => record(session().output, trigger)
  triggers
    .command('list', { isDefault: true })
    .description('all triggers')
    .action(async () => {
      const all = await everyPage(async cursor => {
        const { triggers: page, next_cursor } = await session().call('trigger.list', { limit: mostAtOnce, cursor })
        return { page, next_cursor }
      })
      table(
        session().output,
        all,
        [
          { title: 'TRIGGER', value: trigger => trigger.id },
          { title: 'SOURCE', value: trigger => trigger.event_source_id ?? 'any' },
          { title: 'STATE', value: trigger => (trigger.enabled ? 'enabled' : 'disabled'), style: trigger => (trigger.enabled ? 'green' : 'yellow') },
          { title: 'BOT', value: trigger => trigger.action.bot_id },
          { title: 'WORKFLOW', value: trigger => trigger.action.workflow_id ?? '-' },
          { title: 'FILTER', value: trigger => shortened(trigger.filter, 80) },
        ],
        'there are no triggers; write one with: signalbox triggers put file.json',
      )
    })
  triggers
    .command('show <trigger>')
    .description('one trigger')
    .action(async (trigger_id: string) => show((await session().call('trigger.get', { trigger_id })).trigger))
  triggers
    .command('put <file>')
    .description('write a trigger from JSON; - for standard input')
    .action(async (file: string) => show((await session().call('trigger.put', { trigger: jsonFile(file, file) as TriggerInput })).trigger))
  triggers
    .command('delete <trigger>')
    .description('delete a trigger')
    .action(async (trigger_id: string) => show((await session().call('trigger.delete', { trigger_id })).trigger))
  triggers
    .command('enable <trigger>')
    .description('let a trigger match again')
    .action(async (trigger_id: string) => show((await session().call('trigger.enable', { trigger_id })).trigger))
  triggers
    .command('disable <trigger>')
    .description('let it match nothing for now')
    .action(async (trigger_id: string) => show((await session().call('trigger.disable', { trigger_id })).trigger))
}
