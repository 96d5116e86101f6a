// signalbox ui and signalbox logins: links for browsers, and the browsers that used one.
import { dirname } from 'node:path'
import { Option, type Command } from 'commander'
import type { Login, Methods } from '../client/client.ts'
import { hasScreen, openLink } from './browser.ts'
import { plain, table, time, type Output } from './output.ts'
import type { Session } from './session.ts'

type LoginRole = NonNullable<Methods['login.create']['params']['role']>

const roles: readonly LoginRole[] = ['viewer', 'operator', 'developer', 'admin']

function printLinks(output: Output, { url, public_url, scopes }: Methods['login.create']['result']): void {
  output.line(url)
  if (public_url !== undefined && public_url !== url) output.line(`from elsewhere: ${public_url}`)
  output.line(
    `The link works once, for a minute. Its login allows ${scopes.join(', ')}; it ends after 7 days, or 8 hours without use.`,
  )
}

interface UiOptions {
  role?: LoginRole
  open: boolean
}

function ends({ state, revoked_at, expires_at }: Login): string {
  return state === 'revoked'
    ? `revoked ${time(revoked_at)}`
    : state === 'expired'
      ? 'expired'
      : time(expires_at)
}

function addUi(program: Command, session: () => Session): void {
  program
    .command('ui')
    .description('print a link that opens the page and logs in, and open it where there is a screen')
    .addOption(
      new Option(
        '--role <role>',
        'what the login may do. Default: developer; admin also shows tokens and the audit log',
      ).choices(roles),
    )
    .option('--no-open', 'print the link only')
    .action(async ({ role, open: wanted }: UiOptions) => {
      const current = session()
      const { output, environment } = current
      const made = await current.call('login.create', { role })
      if (output.json) output.line(JSON.stringify(made))
      else printLinks(output, made)
      if (wanted && !output.json && process.stdout.isTTY && hasScreen(environment.env))
        openLink(made.url, dirname(environment.socket))
    })
}

function addLogins(program: Command, session: () => Session): void {
  const logins = program.command('logins').description('browsers that logged in')
  logins
    .command('list', { isDefault: true })
    .description('all logins, newest first')
    .action(async () => {
      const current = session()
      table(
        current.output,
        (await current.call('login.list', {})).logins,
        [
          { title: 'LOGIN', value: each => each.id },
          { title: 'ALLOWS', value: each => each.role ?? each.scopes.join(',') },
          { title: 'ENDS', value: ends, style: each => (each.state === 'valid' ? 'green' : 'red') },
          {
            title: 'LAST USED',
            value: each =>
              `${time(each.last_used_at)}${each.address === undefined ? '' : ` from ${each.address}`}`,
          },
          { title: 'CREATED BY', value: each => each.created_by },
          { title: 'BROWSER', value: each => plain(each.browser ?? '-') },
        ],
        'no logins; signalbox ui prints a link',
      )
    })
  logins
    .command('revoke <login>')
    .description('end a login, and its open requests')
    .action(async (login_id: string) => {
      const current = session()
      const answer = await current.call('login.revoke', { login_id })
      current.output.line(current.output.json ? JSON.stringify(answer) : `revoked login ${answer.login.id}`)
    })
}

export function addPage(program: Command, session: () => Session): void {
  addUi(program, session)
  addLogins(program, session)
}
