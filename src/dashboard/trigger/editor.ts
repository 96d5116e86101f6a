// The state of the editor: one document, as text, which the form and the code change. It is kept in the browser until it is saved.
import { computed, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import type { TriggerInput } from '../../contract/types.ts'
import { readJson, writeJson } from '../json.ts'
import { withValue } from './draft.ts'

export type Read = { ok: true; trigger: TriggerInput } | { ok: false; problem: string }

function readDraft(text: string): Read {
  try {
    const value = readJson(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return { ok: false, problem: 'a trigger must be an object' }
    return { ok: true, trigger: value as TriggerInput }
  } catch (error) {
    return { ok: false, problem: (error as Error).message }
  }
}

export class Editor {
  readonly text: Signal<string>
  readonly read: ReadonlySignal<Read>
  /** whether it differs from what is stored */
  readonly isChanged: ReadonlySignal<boolean>
  /** Whether changes of an earlier visit are shown. */
  readonly isRestored: boolean
  readonly #stored: Signal<string>
  readonly #key: string

  /** key: of the trigger, or new */
  constructor(key: string, stored: TriggerInput, isNew: boolean) {
    this.#key = `signalbox-draft-${key}`
    this.#stored = signal(isNew ? '' : writeJson(stored))
    const kept = isNew ? null : sessionStorage.getItem(this.#key)
    this.isRestored = kept !== null && kept !== this.#stored.peek()
    this.text = signal(kept ?? writeJson(stored))
    this.read = computed(() => readDraft(this.text.value))
    this.isChanged = computed(() => this.text.value !== this.#stored.value)
  }

  setText(text: string): void {
    this.text.value = text
    if (text === this.#stored.peek()) sessionStorage.removeItem(this.#key)
    else sessionStorage.setItem(this.#key, text)
  }

  /** Changes one value of the document; undefined takes it out. */
  set(path: readonly string[], value: unknown): void {
    const read = this.read.peek()
    if (read.ok) this.setText(writeJson(withValue(read.trigger, path, value)))
  }

  /** What is stored now. */
  saved(stored: TriggerInput): void {
    this.#stored.value = writeJson(stored)
    this.setText(this.#stored.peek())
  }
}
