// Short messages about what was just done, at the bottom of the page.
import { signal } from '@preact/signals'
import type { JSX } from 'preact'
import { messageOf } from '../rpc.ts'
import { oneLine } from '../text.ts'
import type { LampKind } from './lamp-kind.ts'

interface Toast {
  id: number
  text: string
  kind: LampKind
}

const toasts = signal<Toast[]>([])
const shownMs = 8000
let last = 0

export function toast(text: string, kind: LampKind = 'clear'): void {
  const id = ++last
  toasts.value = [...toasts.value.slice(-3), { id, text: oneLine(text, 600), kind }]
  setTimeout(() => (toasts.value = toasts.value.filter(each => each.id !== id)), shownMs)
}

/** Does something and says what became of it. Answers whether it was done. */
export async function attempt(what: string, act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act()
    toast(what)
    return true
  } catch (error) {
    toast(messageOf(error), 'stop')
    return false
  }
}

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text, kind }) => (
        <p key={id} class={`toast lamp lamp-${kind}`}>
          {text}
        </p>
      ))}
    </div>
  )
}
