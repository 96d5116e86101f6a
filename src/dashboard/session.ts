// Who is logged in, and the settings that the browser keeps.
import { signal } from '@preact/signals'
import type { Scope } from '../contract/types.ts'
import { readJson } from './json.ts'
import { settings } from './kept.ts'
import { ask, loggedIn } from './rpc.ts'

export interface Session {
  principal: string
  name?: string
  scopes: Scope[]
  login_id?: string
  expires_at?: number
}

export const session = signal<Session | undefined>(undefined)

/** Whether the login has a scope. What it has not is shown disabled, with the scope that is missing. */
export function can(scope: Scope): boolean {
  return session.value?.scopes.includes(scope) === true
}

async function readSession(): Promise<void> {
  const response = await ask('session', { method: 'GET' })
  if (!response.ok) {
    session.value = undefined
    loggedIn.value = false
    return
  }
  session.value = readJson(await response.text()) as Session
  loggedIn.value = true
}

/** Uses the code of a link up. Answers why it is not accepted; undefined: it is. */
async function useCode(code: string): Promise<string | undefined> {
  const response = await ask('session', { method: 'POST', body: JSON.stringify({ code }) })
  if (response.ok) return undefined
  return (readJson(await response.text()) as { detail: string }).detail
}

/** Uses a pasted link or code up. Answers why it is not accepted; undefined: the browser is logged in. */
export async function logIn(linkOrCode: string): Promise<string | undefined> {
  const refused = await useCode(linkOrCode.trim().split('#login=').at(-1)!)
  if (refused === undefined) await readSession()
  return refused
}

/** Reads the link that the page was opened with, and who is logged in. The code leaves the address at once. */
export async function begin(): Promise<string | undefined> {
  const code = /^#login=([\w-]+)$/.exec(location.hash)?.[1]
  if (code !== undefined) history.replaceState(null, '', location.pathname + location.search)
  const refused = code === undefined ? undefined : await useCode(code)
  await readSession()
  return refused
}

export async function logOut(): Promise<void> {
  await ask('session', { method: 'DELETE' })
  session.value = undefined
  loggedIn.value = false
}

export type Theme = 'system' | 'light' | 'dark'

export const themes: readonly Theme[] = ['system', 'light', 'dark']

export const theme = signal<Theme>(themes.find(each => each === settings.get('theme')) ?? 'system')
export const utc = signal(settings.get('utc') === 'yes')

theme.subscribe(value => {
  settings.set('theme', value)
  document.documentElement.dataset.theme = value
})
utc.subscribe(value => settings.set('utc', value ? 'yes' : 'no'))
