// signalbox sources, triggers and bots: list, show, put, delete, enable, disable.
import type { Command } from 'commander'
import type { Bot, BotInput, Source, SourceInput, Trigger, TriggerInput } from '../client/client.ts'
import { record, shortened, table, time } from './output.ts'
import { jsonFile, type Session } from './session.ts'

const most = 500

async function everyPage<T>(read: (cursor: string | undefined) => Promise<{ page: T[]; next_cursor?: string }>): Promise<T[]> {
  const all: T[] = []
  for (let cursor: string | undefined; ;) {
    const { page, next_cursor } = await read(cursor)
    all.push(...page)
    if (next_cursor === undefined) return all
    cursor = next_cursor
  }
}

export function addSources(program: Command, session: () => Session): void {
  const sources = program.command('sources').description('where events come from')
  const show = (source: Source): void => record(session().output, source)
  sources
    .command('list', { isDefault: true })
    .description('all sources')
    .action(async () => {
      const all = await everyPage(async cursor => {
        const { sources: page, next_cursor } = await session().call('source.list', { limit: most, cursor })
        return { page, next_cursor }
      })
      table(
        session().output,
        all,
        [
          { title: 'SOURCE', value: source => source.id },
          { title: 'TYPE', value: source => `${source.source_type}${typeof source.config.provider === 'string' ? `/${source.config.provider}` : ''}` },
          { title: 'STATE', value: source => (source.enabled ? 'enabled' : 'disabled'), style: source => (source.enabled ? 'green' : 'yellow') },
          { title: 'EVENTS', value: source => String(source.event_count ?? 0) },
          { title: 'LAST EVENT', value: source => time(source.last_event_at) },
          { title: 'PATH', value: source => source.webhook_path ?? '-' },
        ],
        'there are no sources; write one with: signalbox register file.json',
      )
    })
  sources
    .command('show <source>')
    .description('one source')
    .action(async (source_id: string) => show((await session().call('source.get', { source_id })).source))
  sources
    .command('put <file>')
    .description('write a source from JSON; - for standard input')
    .action(async (file: string) => show((await session().call('source.put', { source: jsonFile(file, file) as SourceInput })).source))
  sources
    .command('delete <source>')
    .description('delete a source')
    .action(async (source_id: string) => show((await session().call('source.delete', { source_id })).source))
  sources
    .command('enable <source>')
    .description('let a source take events again')
    .action(async (source_id: string) => show((await session().call('source.enable', { source_id })).source))
  sources
    .command('disable <source>')
    .description('refuse its events for now')
    .action(async (source_id: string) => show((await session().call('source.disable', { source_id })).source))
}

export function addTriggers(program: Command, session: () => Session): void {
  const triggers = program.command('triggers').description('when to start what')
  const show = (trigger: Trigger): void => record(session().output, trigger)
  triggers
    .command('list', { isDefault: true })
    .description('all triggers')
    .action(async () => {
      const all = await everyPage(async cursor => {
        const { triggers: page, next_cursor } = await session().call('trigger.list', { limit: most, cursor })
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

function health({ health: known }: Bot): string {
  if (known === undefined || known.state === 'closed') return known?.consecutive_failures ? `failing (${known.consecutive_failures})` : 'ok'
  return known.state === 'open' ? `failed ${known.consecutive_failures} times, runs wait` : 'failed, trying one'
}

function where({ endpoint }: Bot): string {
  if (endpoint.kind === 'http') return endpoint.url
  return endpoint.kind === 'command' ? endpoint.argv.join(' ') : endpoint.socket_path
}

export function addBots(program: Command, session: () => Session): void {
  const bots = program.command('bots').description('who executes runs')
  const show = (bot: Bot): void => record(session().output, bot)
  bots
    .command('list', { isDefault: true })
    .description('all bots')
    .action(async () => {
      const all = await everyPage(async cursor => {
        const { bots: page, next_cursor } = await session().call('bot.list', { limit: most, cursor })
        return { page, next_cursor }
      })
      table(
        session().output,
        all,
        [
          { title: 'BOT', value: bot => bot.id },
          { title: 'KIND', value: bot => bot.endpoint.kind },
          { title: 'STATE', value: bot => (bot.enabled ? 'enabled' : 'disabled'), style: bot => (bot.enabled ? 'green' : 'yellow') },
          { title: 'HEALTH', value: bot => health(bot), style: bot => (bot.health?.state === 'closed' ? 'green' : 'red') },
          { title: 'ACTIVE', value: bot => `${bot.active ?? 0}/${bot.max_active}` },
          { title: 'AT', value: bot => shortened(where(bot), 80) },
        ],
        'there are no bots; write one with: signalbox bots put file.json',
      )
    })
  bots
    .command('show <bot>')
    .description('one bot')
    .action(async (bot_id: string) => show((await session().call('bot.get', { bot_id })).bot))
  bots
    .command('put <file>')
    .description('write a bot from JSON; - for standard input')
    .action(async (file: string) => show((await session().call('bot.put', { bot: jsonFile(file, file) as BotInput })).bot))
  bots
    .command('delete <bot>')
    .description('delete a bot')
    .action(async (bot_id: string) => show((await session().call('bot.delete', { bot_id })).bot))
  const setEnabled = async (bot_id: string, enabled: boolean): Promise<void> => {
    const { bot } = await session().call('bot.get', { bot_id })
    const { version, created_at: _c, updated_at: _u, health: _h, active: _a, disabled_reason: _d, ...input } = bot
    show((await session().call('bot.put', { bot: { ...input, enabled }, version })).bot)
  }
  bots
    .command('enable <bot>')
    .description('let a bot have runs again')
    .action((bot_id: string) => setEnabled(bot_id, true))
  bots
    .command('disable <bot>')
    .description('let its runs wait')
    .action((bot_id: string) => setEnabled(bot_id, false))
}
