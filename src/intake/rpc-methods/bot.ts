// bot.*
import type { Bot } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { completeBot } from '../../routing/registry.ts'
import type { Handlers } from '../jsonrpc.ts'
import { liveBot, notFound, pageById, writeDefinitions, type Context } from './context.ts'

export function botMethods(context: Context): Pick<Handlers, `bot.${string}` & keyof Handlers> {
  const { registry, config, now, assertEndpoint } = context

  function found(id: string): Bot {
    const bot = registry.bots.get(id)
    if (bot === undefined) throw notFound('bot', id, 'bot.list')
    return bot
  }

  return {
    async 'bot.put'({ bot, version }) {
      assertEndpoint(bot.endpoint)
      const [stamp] = await writeDefinitions(context, [{ noun: 'bot', id: bot.id, definition: bot, version, at: now() }])
      return { bot: liveBot(context, completeBot(bot, stamp!, config.bot_max_active)) }
    },
    'bot.get': async ({ bot_id }) => ({ bot: liveBot(context, found(bot_id)) }),
    async 'bot.list'({ kind, limit, cursor }) {
      const all = [...registry.bots.values()].filter(bot => kind === undefined || bot.endpoint.kind === kind)
      const { page, next_cursor } = pageById(all, limit, cursor)
      return { bots: page.map(bot => liveBot(context, bot)), next_cursor }
    },
    async 'bot.delete'({ bot_id, version }) {
      const bot = found(bot_id)
      const users = [...registry.triggers.values()].filter(trigger => trigger.action.bot_id === bot_id).map(trigger => trigger.id)
      if (users.length > 0)
        throw new Fault(
          'conflict',
          `${users.length} triggers start bot ${bot_id} (${users.slice(0, 5).join(', ')}); delete or change them first, or disable the bot`,
        )
      const last = liveBot(context, bot)
      await writeDefinitions(context, [{ noun: 'bot', id: bot_id, definition: null, version: version ?? bot.version, at: now() }])
      return { bot: last }
    },
  }
}
