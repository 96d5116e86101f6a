// How a sender reaches a webhook source. Pure: no DOM.
import type { Source } from '../../contract/types.ts'
import { shellQuote } from '../text.ts'

/** The address of a source; undefined: it has none. intake: the address that the router listens at, host:port or a socket path */
export function addressOf(
  { webhook_path }: Pick<Source, 'webhook_path'>,
  intake: string | undefined,
): string | undefined {
  if (webhook_path === undefined || intake === undefined) return undefined
  if (intake.startsWith('/')) return webhook_path
  return (intake.includes('://') ? intake : `http://${intake}`) + webhook_path
}

export interface SecretRef {
  env?: string
  file?: string
}

/** The references to secrets in a configuration: where they are read from, never what they are. */
export function secretsOf({ config }: Pick<Source, 'config'>): SecretRef[] {
  return Array.isArray(config.secrets) ? (config.secrets as SecretRef[]) : []
}

export function secretText({ env, file }: SecretRef): string {
  return env === undefined ? `file ${file ?? ''}` : `environment variable ${env}`
}

/** A command that sends a test delivery, signed where the provider signs. */
export function curlFor(
  source: Pick<Source, 'webhook_path' | 'config'>,
  intake: string | undefined,
): string | undefined {
  const address = addressOf(source, intake)
  if (address === undefined) return undefined
  const body = `'{"hello":"world"}'`
  const [secret] = secretsOf(source)
  const read =
    secret?.file === undefined ? `"$${secret?.env ?? 'SECRET'}"` : `"$(cat ${shellQuote(secret.file)})"`
  const hmac = `$(printf %s ${body} | openssl dgst -sha256 -hmac ${read} -r | cut -d' ' -f1)`
  const headers: Record<string, string> = {
    forgejo: `-H "X-Forgejo-Signature: ${hmac}" -H 'X-Forgejo-Event: push'`,
    gitea: `-H "X-Gitea-Signature: ${hmac}" -H 'X-Gitea-Event: push'`,
    github: `-H "X-Hub-Signature-256: sha256=${hmac}" -H 'X-GitHub-Event: push'`,
    gitlab: `-H "X-Gitlab-Token: "${read} -H 'X-Gitlab-Event: Push Hook'`,
    bearer: `-H "Authorization: Bearer "${read}`,
    none: '',
  }
  const own = headers[String(source.config.provider)]
  if (own === undefined) return undefined
  return ['curl -sS', own, `-H 'content-type: application/json' -d ${body}`, address]
    .filter(part => part !== '')
    .join(' ')
}

/** What a sender must put into a delivery, in words; undefined: the provider is not known. */
export function signatureText(provider: unknown): string | undefined {
  const hints: Record<string, string> = {
    forgejo: 'X-Forgejo-Signature: the HMAC-SHA256 of the body with the secret, in hex.',
    gitea: 'X-Gitea-Signature: the HMAC-SHA256 of the body with the secret, in hex.',
    github: 'X-Hub-Signature-256: sha256= and the HMAC-SHA256 of the body with the secret, in hex.',
    gitlab:
      'X-Gitlab-Token: the secret itself. With a signing token (whsec_…) it is the signature of Standard Webhooks.',
    standard:
      'Standard Webhooks: webhook-id, webhook-timestamp (at most 5 minutes off), and webhook-signature: v1, and the HMAC-SHA256 of id.timestamp.body in base64.',
    cloudevents: 'CloudEvents 1.0 over HTTP. With a secret: Authorization: Bearer and the secret.',
    bearer: 'Authorization: Bearer and the secret.',
    none: 'Nothing is signed: anyone who reaches the intake can deliver.',
  }
  return hints[String(provider)]
}
