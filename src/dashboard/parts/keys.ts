// Keys: which do something now, and the list of them that ? shows.
import { signal } from '@preact/signals'
import { useLayoutEffect } from 'preact/hooks'

export interface KeyAction {
  /** as it is shown: "a", "g e" (one after the other), "mod k" (Ctrl, or Command on a Mac) */
  keys: string
  what: string
  act: () => void
}

/** What there is now; later ones come first. */
export const actions = signal<KeyAction[]>([])
let first: string | undefined
let timer: ReturnType<typeof setTimeout> | undefined

function isTyping(target: EventTarget | null): boolean {
  const element = target as HTMLElement | null
  return element?.closest?.('input, textarea, select, [contenteditable], .editor') != null
}

function pressed(event: KeyboardEvent): string {
  const name = event.key === ' ' ? 'space' : event.key.length === 1 ? event.key : event.key.toLowerCase()
  return event.ctrlKey || event.metaKey ? `mod ${name.toLowerCase()}` : name
}

function onKey(event: KeyboardEvent): void {
  const name = pressed(event)
  const isCommand = name.startsWith('mod ')
  if (event.defaultPrevented || event.altKey || (isTyping(event.target) && !isCommand)) return
  // What a focused button or link does on these keys is its own.
  if (
    (name === 'space' || name === 'enter') &&
    (event.target as HTMLElement).closest('button, a, summary, [role=tab]') !== null
  )
    return
  if (!isCommand && document.querySelector('dialog[open]') !== null) return
  const all = [...actions.value].toReversed()
  const both = first === undefined ? undefined : all.find(({ keys }) => keys === `${first} ${name}`)
  const found = both ?? all.find(({ keys }) => keys === name)
  clearTimeout(timer)
  const begins = found === undefined && all.some(({ keys }) => keys.startsWith(`${name} `) && !isCommand)
  first = begins ? name : undefined
  if (begins) timer = setTimeout(() => (first = undefined), 1500)
  if (found === undefined) return
  event.preventDefault()
  found.act()
}

/** Keys that work while a component is shown: from the moment at which it is. */
export function useKeys(own: KeyAction[]): void {
  useLayoutEffect(() => {
    actions.value = [...actions.value, ...own]
    return () => void (actions.value = actions.value.filter(each => !own.includes(each)))
  })
}

export function startKeys(): void {
  addEventListener('keydown', onKey)
}
