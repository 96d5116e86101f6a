// signalbox tokens and signalbox audit: who may use the admin listener, and what was done.
import { Option, type Command } from 'commander'
import type { AuditEntry, Role, Scope, Token } from '../client/client.ts'
import { plain, printWarnings, table, time } from './output.ts'
import { wholeNumber, type Session } from './session.ts'
import { lengthArgument, timeArgument } from './times.ts'

const roles: readonly Role[] = ['viewer', 'operator', 'developer', 'admin', 'worker', 'agent']

/** Words that are separated by commas. */
function words(text: string): string[] {
  return text.split(',').map(word => word.trim())
}

function allowed({ role, scopes, bot_id }: Token): string {
  const what = role ?? scopes.join(',')
  return bot_id === undefined ? what : `${what} of ${bot_id}`
}

function ends({ state, expires_at, revoked_at }: Token): string {
  if (state === 'revoked') return `revoked ${time(revoked_at)}`
  return expires_at === undefined ? 'never' : `${state === 'expired' ? 'expired ' : ''}${time(expires_at)}`
}

function used({ last_used_at, last_used_from }: Token): string {
  if (last_used_at === undefined) return 'never'
  return `${time(last_used_at)}${last_used_from === undefined ? '' : ` from ${last_used_from}`}`
}

function addList(tokens: Command, session: () => Session): void {
  tokens
    .command('list', { isDefault: true })
    .description('all tokens, newest first; none of them can be shown again')
    .action(async () => {
      const current = session()
      const { output } = current
      table(
        output,
        (await current.call('token.list', {})).tokens,
        [
          { title: 'TOKEN', value: each => each.id },
          { title: 'NAME', value: each => each.name },
          { title: 'ALLOWS', value: allowed },
          { title: 'ENDS', value: ends, style: each => (each.state === 'valid' ? 'green' : 'red') },
          { title: 'LAST USED', value: used },
          { title: 'CREATED BY', value: each => each.created_by },
        ],
        'no tokens; signalbox tokens create makes one',
      )
    })
}

interface CreateOptions {
  role?: Role
  scopes?: Scope[]
  bot?: string
  mcp?: true
  person?: true
  expires?: number
  expiry: boolean
}

function addCreate(tokens: Command, session: () => Session): void {
  tokens
    .command('create <name>')
    .description('create a token, and print it: it is not shown again. The name says what uses it')
    .addOption(new Option('--role <role>', 'what it allows').choices(roles))
    .option(
      '--scopes <list>',
      'what it allows, one by one: read,payload,test,emit,write,operate,approve,work,admin,metrics',
      words,
    )
    .option('--bot <id>', 'the bot whose runs its worker may work on')
    .option('--mcp', 'for the tools of an agent')
    .option('--person', 'a person uses it, although its role is agent or it is for tools')
    .option('--expires <length>', 'how long it works: 12h, 30d. Default: 90d', lengthArgument)
    .option('--no-expiry', 'it works until it is revoked')
    .action(async (name: string, { role, scopes, bot, mcp, person, expires, expiry }: CreateOptions) => {
      const current = session()
      const { output } = current
      const answer = await current.call('token.create', {
        name,
        role,
        scopes,
        bot_id: bot,
        mcp,
        person,
        expires_in_ms: expires,
        ...(expiry ? {} : { never_expires: true }),
      })
      output.line(output.json ? JSON.stringify(answer) : answer.token)
      // Not on standard output: what is piped into a file is the token alone.
      const { id, scopes: has } = answer.created
      if (!output.json)
        console.error(
          plain(
            `token ${id} (${name}) allows ${has.join(', ')}; it ends: ${ends(answer.created)}. It is not shown again.`,
          ),
        )
      printWarnings(answer)
    })
}

function addRevoke(tokens: Command, session: () => Session): void {
  tokens
    .command('revoke <token>')
    .description(
      'end a token, and its open requests. Its id is the part behind its kind; signalbox tokens has it',
    )
    .action(async (token_id: string) => {
      const current = session()
      const { output } = current
      const answer = await current.call('token.revoke', { token_id })
      output.line(
        output.json ? JSON.stringify(answer) : `revoked token ${answer.token.id} (${answer.token.name})`,
      )
    })
}

export function addTokens(program: Command, session: () => Session): void {
  const tokens = program.command('tokens').description('tokens of the admin listener')
  addList(tokens, session)
  addCreate(tokens, session)
  addRevoke(tokens, session)
}

interface AuditOptions {
  principal?: string
  method?: string
  outcome?: AuditEntry['outcome']
  since?: number
  until?: number
  limit: number
  cursor?: string
}

function outcome({ outcome: of, code, count }: AuditEntry): string {
  return `${of}${code === undefined ? '' : ` ${code}`}${count === 1 ? '' : ` (${count} times)`}`
}

export function addAudit(program: Command, session: () => Session): void {
  program
    .command('audit')
    .description('calls that changed something or were refused, newest first')
    .option('--principal <id>', 'of one caller: local, token:ID, bot:ID')
    .option('--method <name>', 'of one method')
    .addOption(new Option('--outcome <outcome>', 'with this outcome').choices(['done', 'refused', 'failed']))
    .option('--since <time>', 'made since: 2h, 7d, or a date', timeArgument)
    .option('--until <time>', 'made before', timeArgument)
    .option('-n, --limit <count>', 'how many. Default: 20', wholeNumber, 20)
    .option('--cursor <text>', 'go on where an answer ended')
    .action(async (options: AuditOptions) => {
      const current = session()
      const { output } = current
      const { entries, next_cursor } = await current.call('audit.list', options)
      table(
        output,
        entries,
        [
          { title: 'TIME', value: each => time(each.at) },
          {
            title: 'PRINCIPAL',
            value: each => (each.name === undefined ? each.principal : `${each.principal} (${each.name})`),
          },
          {
            title: 'BY',
            value: each =>
              each.address === undefined ? each.interface : `${each.interface} ${each.address}`,
          },
          { title: 'METHOD', value: each => each.method ?? '-' },
          { title: 'ABOUT', value: each => each.ids.join(' ') || '-' },
          { title: 'OUTCOME', value: outcome, style: each => (each.outcome === 'done' ? 'green' : 'red') },
        ],
        'no entries',
      )
      if (next_cursor !== undefined && !output.json) output.line(`more with: --cursor ${next_cursor}`)
    })
}
