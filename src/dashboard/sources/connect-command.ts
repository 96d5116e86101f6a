// The command that connects a Forgejo, from what is filled in. Pure: no DOM.
import { shellQuote } from '../text.ts'

export interface Connection {
  /** the forge: https://forge.example.org */
  forge: string
  /** owner/repo, or an organisation */
  target: string
  source_id: string
  /** where the forge reaches the source; '': at the address that the intake listens at */
  webhook_url: string
}

const idShape = /^[a-z0-9][a-z0-9._-]{0,63}$/

function isUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}

/** What is wrong, by field. */
export function connectionProblems({
  forge,
  target,
  source_id,
  webhook_url,
}: Connection): Partial<Record<keyof Connection, string>> {
  return {
    ...(isUrl(forge) ? {} : { forge: 'must be a URL such as https://forge.example.org' }),
    ...(/^[\w.-]+(?:\/[\w.-]+)?$/.test(target)
      ? {}
      : { target: 'must be owner/repo, or the name of an organisation' }),
    ...(idShape.test(source_id)
      ? {}
      : { source_id: 'must be lower-case letters, digits, dots, hyphens and underscores' }),
    ...(webhook_url === '' || isUrl(webhook_url) ? {} : { webhook_url: 'must be a URL' }),
  }
}

export function isOrganisation({ target }: Pick<Connection, 'target'>): boolean {
  return !target.includes('/')
}

export function connectCommand(connection: Connection): string {
  const { forge, target, source_id, webhook_url } = connection
  const owner = isOrganisation(connection) ? `--org ${shellQuote(target)}` : shellQuote(target)
  const reached = webhook_url === '' ? '' : ` --webhook-url ${shellQuote(webhook_url)}`
  return `signalbox forgejo connect ${shellQuote(forge)} ${owner} --source ${shellQuote(source_id)} --token-file forgejo.token${reached}`
}
