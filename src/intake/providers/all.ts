// Every webhook provider, by the name that a source's config.provider has.
import type { WebhookConfig } from '../../contract/types.ts'
import { bearer, none } from './bearer.ts'
import { cloudevents } from './cloudevents.ts'
import { forgejo, gitea } from './forgejo.ts'
import { github } from './github.ts'
import { gitlab } from './gitlab.ts'
import type { Provider } from './provider.ts'
import { standard } from './standard.ts'

export const providers: Record<WebhookConfig['provider'], Provider> = { forgejo, gitea, github, gitlab, standard, cloudevents, bearer, none }
