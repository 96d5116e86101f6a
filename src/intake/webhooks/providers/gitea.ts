// Gitea: Forgejo's rules under its own headers.
import { forge } from './forgejo.ts'
import type { Provider } from './provider.ts'

export const gitea: Provider = forge('gitea')
