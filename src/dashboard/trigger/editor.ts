// The state of the editor: one document, as text, which the form and the code change. The browser's tab keeps it until it is saved.
import { computed, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import type { Trigger, TriggerInput } from '../../contract/types.ts'
import { drafts } from '../kept.ts'
import { readJson, writeJson } from '../json.ts'
import { inputOf, merged, withValue } from './draft.ts'

export type Read = { ok: true; trigger: TriggerInput } | { ok: false; problem: string }

function readDraft(text: string): Read {
  try {
    const value = readJson(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return { ok: false, problem: 'a trigger must be an object' }
    return { ok: true, trigger: value as TriggerInput }
  } catch (error) {
    return { ok: false, problem: (error as Error).message }
  }
}

/** What the router says is wrong with the draft. */
export interface DraftProblem {
  /** of the document: filter.payload.action; empty: the whole */
  path: string
  message: string
}

/** What the tab keeps. */
interface Kept {
  text: string
  base: string
  version: number
}

function readKept(key: string): Kept | undefined {
  const kept = drafts.get(key)
  return kept === null ? undefined : (JSON.parse(kept) as Kept)
}

export class Editor {
  readonly text: Signal<string>
  readonly read: ReadonlySignal<Read>
  /** Whether there are changes that are not saved. */
  readonly isChanged: ReadonlySignal<boolean>
  /** Whether changes of before the page was loaded are shown. */
  readonly isRestored: Signal<boolean>
  /** what the draft began with */
  readonly base: Signal<string>
  /** its version; 0: it is new */
  readonly version: Signal<number>
  /** a version that was stored since, while there were changes */
  readonly newer = signal<Trigger | undefined>(undefined)
  readonly problem = signal<DraftProblem | undefined>(undefined)
  /** Rises when a dry run is asked for. */
  readonly runs = signal(0)
  readonly #key: string

  /** key: of the trigger, or of what a new one begins with */
  constructor(key: string, stored: TriggerInput, version: number) {
    this.#key = `draft-${key}`
    const kept = readKept(this.#key)
    const text = writeJson(stored)
    this.isRestored = signal(kept !== undefined && kept.text !== text)
    this.base = signal(kept?.base ?? text)
    this.version = signal(kept?.version ?? version)
    this.text = signal(kept?.text ?? text)
    this.read = computed(() => readDraft(this.text.value))
    this.isChanged = computed(() => this.text.value !== this.base.value)
  }

  setText(text: string): void {
    this.text.value = text
    this.problem.value = undefined
    const kept: Kept = { text, base: this.base.peek(), version: this.version.peek() }
    if (this.isChanged.peek()) drafts.set(this.#key, JSON.stringify(kept))
    else this.forget()
  }

  /** Changes one value of the document; undefined takes it out. */
  set(path: readonly string[], value: unknown): void {
    const read = this.read.peek()
    if (read.ok) this.setText(writeJson(withValue(read.trigger, path, value)))
  }

  /** Shows a stored version instead of the draft. */
  load(trigger: Trigger): void {
    this.base.value = writeJson(inputOf(trigger))
    this.version.value = trigger.version
    this.newer.value = undefined
    this.isRestored.value = false
    this.setText(this.base.peek())
  }

  /** The draft was saved as it was sent; what was changed since stays. */
  saved(trigger: Trigger, sent: string): void {
    const text = this.text.peek()
    this.load(trigger)
    if (text !== sent) this.setText(text)
  }

  /** A version was read: it is shown where nothing was changed, and offered otherwise. */
  offer(trigger: Trigger): void {
    if (trigger.version === this.version.peek()) this.newer.value = undefined
    else if (this.isChanged.peek()) this.newer.value = trigger
    else this.load(trigger)
  }

  /** The changes of the draft on top of another version. Answers the paths that both changed: the draft's values are kept there. */
  rebase(trigger: Trigger): string[] {
    const read = this.read.peek()
    if (!read.ok) return []
    const { document, both } = merged(readJson(this.base.peek()) as object, read.trigger, inputOf(trigger))
    this.load(trigger)
    this.setText(writeJson(document))
    return both
  }

  /** Gives the changes up. */
  discard(): void {
    this.isRestored.value = false
    this.setText(this.base.peek())
  }

  /** Takes the changes out of what the tab keeps. */
  forget(): void {
    drafts.remove(this.#key)
  }
}
