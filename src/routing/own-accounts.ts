// The accounts on forges that this router's bots and agents use: what they do must not start them again. Pure.
import type { ForgeAccount } from '../contract/types.ts'
import { foldedActor } from '../forge.ts'
import { textAt } from './payload.ts'

/** Where forges put an address of the event's repository, or of the one who caused it. */
const links = ['repository.html_url', 'project.web_url', 'repository.homepage', 'sender.html_url'] as const

/** The host that an event's payload names, with its port where it has one; null: none. */
function hostOf(payload: unknown): string | null {
  for (const path of links) {
    const link = textAt(payload, path)
    if (link !== null && URL.canParse(link)) return new URL(link).host
  }
  return null
}

export class OwnAccounts {
  /** by login, folded; undefined: on any host */
  readonly #hosts = new Map<string, (string | undefined)[]>()

  constructor(accounts: readonly ForgeAccount[]) {
    for (const { login, host } of accounts) {
      const folded = foldedActor(login)
      this.#hosts.set(folded, [...(this.#hosts.get(folded) ?? []), host?.toLowerCase()])
    }
  }

  /**
   * Whether the actor of an event is one of them. The payload is asked for only where the host matters. An event that names no host is
   * taken for one of the account's forge: a loop costs more than an event that starts nothing.
   */
  has(actor: string | null, payload: () => unknown): boolean {
    const hosts = actor === null ? undefined : this.#hosts.get(foldedActor(actor))
    if (hosts === undefined) return false
    if (hosts.includes(undefined)) return true
    const host = hostOf(payload())
    return host === null || hosts.includes(host)
  }
}
