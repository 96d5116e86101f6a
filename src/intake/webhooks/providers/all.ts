// Every webhook provider, by the name that a source's config.provider has.
import type { WebhookConfig } from '../../../contract/types.ts'
import { bearer } from './bearer.ts'
import { cloudevents } from './cloudevents.ts'
import { forgejo } from './forgejo.ts'
import { gitea } from './gitea.ts'
import { github } from './github.ts'
import { gitlab } from './gitlab.ts'
import { none } from './none.ts'
import type { Provider } from './provider.ts'
import { standard } from './standard.ts'

export const providers: Record<WebhookConfig['provider'], Provider> = {
  forgejo,
  gitea,
  github,
  gitlab,
  standard,
  cloudevents,
  bearer,
  none,
}

/** Where any of them looks for subjects in payloads. */
export const subject_paths: readonly string[] = [
  ...new Set(Object.values(providers).flatMap(provider => provider.subject_paths)),
]
