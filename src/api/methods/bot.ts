// bot.*
import type { Bot, BotInput, Endpoint } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { completeBot } from '../../routing/registry.ts'
import { assertEmitTarget } from '../../definitions/emit-targets.ts'
import { assertNotifyEndpoint } from '../../definitions/notify-endpoint.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Checking, Context } from './context.ts'
import { writeDefinitions } from './definition-writes.ts'
import { notFound } from './lookups.ts'
import { pageById } from './pages.ts'
import { liveBot } from './shown-run.ts'
import { warningsOf } from './warnings.ts'
import { assertBudgets, assertTemplate } from './trigger-checks.ts'

/** What of an endpoint is a template, by name. */
function templatesOf(endpoint: Endpoint): Record<string, unknown> {
  switch (endpoint.kind) {
    case 'http':
      return { body: endpoint.body }
    case 'unix_rpc':
      return { params: endpoint.params }
    case 'emit':
      return { payload: endpoint.payload, subject: endpoint.subject }
    case 'notify': {
      const { title, text, priority, link } = endpoint
      return { title, text, priority, link }
    }
    case 'command':
    case 'pull':
      return {}
  }
}

/** Everything about a bot that its schema cannot say. Throws Fault. */
export async function assertBot(
  {
    assertEndpoint,
    expressions,
    registry,
  }: Pick<Context, 'assertEndpoint'> & Pick<Checking, 'expressions' | 'registry'>,
  bot: BotInput,
  at: string,
): Promise<void> {
  assertEmitTarget(bot, registry.sources, at)
  assertBudgets(bot.budget, ['bot'], `${at}.budget`)
  for (const name of ['endpoint', 'wake'] as const) {
    const endpoint = bot[name]
    if (endpoint === undefined) continue
    if (endpoint.kind === 'notify') assertNotifyEndpoint(endpoint, `${at}.${name}`)
    assertEndpoint(endpoint, `${at}.${name}`)
    for (const [field, template] of Object.entries(templatesOf(endpoint)))
      await assertTemplate(template ?? null, `${at}.${name}.${field}`, expressions)
  }
}

export function botMethods(context: Context): Pick<Handlers, `bot.${string}` & keyof Handlers> {
  const { registry, config, now, availabilities } = context

  function found(id: string): Bot {
    const bot = registry.bots.get(id)
    if (bot === undefined) throw notFound('bot', id, 'bot.list', registry.bots.keys())
    return bot
  }

  return {
    async 'bot.put'({ bot, version }) {
      await assertBot(context, bot, 'bot')
      const [stamp] = await writeDefinitions(context, [
        { noun: 'bot', id: bot.id, definition: bot, version, at: now() },
      ])
      return {
        bot: liveBot(context, completeBot(bot, stamp!, config.bot_max_active)),
        ...warningsOf(context, { bots: [bot] }, registry.bots),
      }
    },
    'bot.get': async ({ bot_id }) => ({ bot: liveBot(context, found(bot_id)) }),
    async 'bot.list'({ kind, limit, cursor }) {
      const all = [...registry.bots.values()].filter(bot => kind === undefined || bot.endpoint.kind === kind)
      const { page, next_cursor } = pageById(all, limit, cursor)
      return { bots: page.map(bot => liveBot(context, bot)), next_cursor }
    },
    async 'bot.delete'({ bot_id, version }) {
      const bot = found(bot_id)
      const users = [...registry.triggers.values()]
        .filter(({ action, policy }) => action.bot_id === bot_id || policy.approval?.bot_id === bot_id)
        .map(trigger => trigger.id)
      if (users.length > 0)
        throw new Fault(
          'conflict',
          `${users.length} triggers start or ask bot ${bot_id} (${users.slice(0, 5).join(', ')}); delete or change them first, or disable the bot`,
        )
      const last = liveBot(context, bot)
      await writeDefinitions(context, [
        { noun: 'bot', id: bot_id, definition: null, version: version ?? bot.version, at: now() },
      ])
      return { bot: last }
    },
    async 'bot.heartbeat'({ bot_id, availability, reason }) {
      const bot = found(bot_id)
      availabilities.heard(bot_id)
      if (availability !== undefined)
        await availabilities.say(bot_id, { availability, reason: reason ?? null })
      return { bot: liveBot(context, bot) }
    },
    async 'bot.drain'({ bot_id, reason }) {
      const bot = found(bot_id)
      await availabilities.say(bot_id, { drained: true, drained_reason: reason ?? null })
      return { bot: liveBot(context, bot) }
    },
    async 'bot.notify_test'({ bot_id }) {
      const { endpoint } = found(bot_id)
      if (endpoint.kind !== 'notify')
        throw new Fault(
          'invalid_state',
          `bot ${bot_id} must be of kind notify; it is of kind ${endpoint.kind}`,
        )
      return context.notifyTest(bot_id, endpoint)
    },
    async 'bot.undrain'({ bot_id }) {
      const bot = found(bot_id)
      await availabilities.say(bot_id, { drained: false, drained_reason: null })
      return { bot: liveBot(context, bot) }
    },
  }
}
