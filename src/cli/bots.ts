// signalbox bots: who executes runs.
import type { Command } from 'commander'
import type { Availability, Bot, BotInput, UsageTotals } from '../client/client.ts'
import { printWarnings, record, shortened, table, time } from './output.ts'
import { usage } from './router.ts'
import { everyPage, jsonFile, mostAtOnce, type Session } from './session.ts'

const dayMs = 86_400_000
/** Bots whose newest run is looked at. */
const mostLookedAt = 100

function health({ health: known }: Bot): string {
  if (known === undefined || known.state === 'closed')
    return known?.consecutive_failures ? `failing (${known.consecutive_failures})` : 'ok'
  return known.state === 'open'
    ? `failed ${known.consecutive_failures} times, runs wait`
    : 'failed, trying one'
}

/** Where a bot sends messages. The URL of an incoming webhook is a secret: only its origin is shown. */
function notified({ preset, url, topic, room, host, to = [] }: Bot['endpoint'] & { kind: 'notify' }): string {
  if (preset === 'smtp') return `smtp ${to.join(', ')} at ${host}`
  const server = url === undefined ? 'at a secret URL' : new URL(url).origin
  return [preset, topic ?? room, server].filter(part => part !== undefined).join(' ')
}

function where({ endpoint }: Bot): string {
  if (endpoint.kind === 'http') return endpoint.url
  if (endpoint.kind === 'pull') return 'its workers ask for runs'
  if (endpoint.kind === 'emit') return `source ${endpoint.source_id}`
  if (endpoint.kind === 'notify') return notified(endpoint)
  return endpoint.kind === 'command' ? endpoint.argv.join(' ') : endpoint.socket_path
}

/** A bot as it is written: without what the router knows of it. */
function inputOf(bot: Bot): BotInput {
  const known = new Set([
    'version',
    'created_at',
    'updated_at',
    'health',
    'active',
    'disabled_reason',
    'availability_reason',
    'drained',
    'drained_reason',
    'last_heard_at',
  ])
  return Object.fromEntries(Object.entries(bot).filter(([name]) => !known.has(name))) as unknown as BotInput
}

function standing({ enabled, drained, availability }: Bot): string {
  if (!enabled) return 'disabled'
  return drained === true ? 'drained' : (availability ?? 'ready')
}

/** What bots used in the last day, and when each was last heard of, or had its newest run moved by an attempt. */
async function activity(
  session: Session,
  bots: readonly Bot[],
): Promise<{ used: Map<string | null, UsageTotals | undefined>; seen: Map<string, number> }> {
  if (session.output.json) return { used: new Map(), seen: new Map() }
  const [stats, newest] = await Promise.all([
    session.call('router.stats', { since: Date.now() - dayMs }),
    Promise.all(
      bots
        .slice(0, mostLookedAt)
        .map(async ({ id }) => (await session.call('run.list', { bot_id: id, limit: 1 })).runs[0]),
    ),
  ])
  const seen = new Map<string, number>()
  for (const [index, { id, last_heard_at = 0 }] of bots.entries()) {
    const run = newest[index]
    const at = Math.max(last_heard_at, run !== undefined && run.attempt > 0 ? run.updated_at : 0)
    if (at > 0) seen.set(id, at)
  }
  return { used: new Map(stats.bots.map(bot => [bot.id, bot.usage])), seen }
}

function addList(bots: Command, session: () => Session): void {
  bots
    .command('list', { isDefault: true })
    .description('all bots, with what they used in the last day')
    .action(async () => {
      const current = session()
      const all = await everyPage(async cursor => {
        const { bots: page, next_cursor } = await current.call('bot.list', { limit: mostAtOnce, cursor })
        return { page, next_cursor }
      })
      const { used, seen } = await activity(current, all)
      table(
        current.output,
        all,
        [
          { title: 'BOT', value: bot => bot.id },
          { title: 'KIND', value: bot => bot.endpoint.kind },
          { title: 'STATE', value: standing, style: bot => (standing(bot) === 'ready' ? 'green' : 'yellow') },
          {
            title: 'HEALTH',
            value: bot => health(bot),
            style: bot => (bot.health?.state === 'closed' ? 'green' : 'red'),
          },
          { title: 'ACTIVE', value: bot => `${bot.active ?? 0}/${bot.max_active}` },
          { title: 'LAST SEEN', value: bot => time(seen.get(bot.id)) },
          { title: 'USED', value: bot => usage(used.get(bot.id)) },
          { title: 'CAPABILITIES', value: bot => shortened((bot.capabilities ?? []).join(', '), 60) || '-' },
          { title: 'AT', value: bot => shortened(where(bot), 80) },
        ],
        'there are no bots; write one with: signalbox bots put file.json',
      )
    })
}

export function addBots(program: Command, session: () => Session): void {
  const bots = program.command('bots').description('who executes runs')
  const show = (bot: Bot): void => record(session().output, bot)
  addList(bots, session)
  bots
    .command('show <bot>')
    .description('one bot')
    .action(async (bot_id: string) => show((await session().call('bot.get', { bot_id })).bot))
  bots
    .command('put <file>')
    .description('write a bot from JSON; - for standard input')
    .action(async (file: string) => {
      const { bot, ...noted } = await session().call('bot.put', { bot: jsonFile(file, file) as BotInput })
      printWarnings(noted)
      show(bot)
    })
  bots
    .command('delete <bot>')
    .description('delete a bot')
    .action(async (bot_id: string) => show((await session().call('bot.delete', { bot_id })).bot))
  bots
    .command('heartbeat <bot> [availability]')
    .description('say that a bot is there, and how: ready, sleeping, busy or degraded')
    .option('-r, --reason <text>', 'why')
    .action(async (bot_id: string, availability: Availability | undefined, { reason }: { reason?: string }) =>
      show((await session().call('bot.heartbeat', { bot_id, availability, reason })).bot),
    )
  bots
    .command('drain <bot>')
    .description('give it no new runs; those that it has end')
    .option('-r, --reason <text>', 'why')
    .action(async (bot_id: string, { reason }: { reason?: string }) =>
      show((await session().call('bot.drain', { bot_id, reason })).bot),
    )
  bots
    .command('undrain <bot>')
    .description('give it runs again')
    .action(async (bot_id: string) => show((await session().call('bot.undrain', { bot_id })).bot))
  const setEnabled = async (bot_id: string, enabled: boolean): Promise<void> => {
    const { bot } = await session().call('bot.get', { bot_id })
    show((await session().call('bot.put', { bot: { ...inputOf(bot), enabled }, version: bot.version })).bot)
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
