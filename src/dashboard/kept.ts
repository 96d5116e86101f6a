// What the browser keeps for the page: settings for ever, drafts until the tab is closed. Where storage is blocked, as it can be in frames
// and private windows, nothing is kept and everything works.

function storage(name: 'localStorage' | 'sessionStorage'): Storage | undefined {
  try {
    return window[name]
  } catch {
    return undefined
  }
}

class Kept {
  readonly #storage: Storage | undefined

  constructor(name: 'localStorage' | 'sessionStorage') {
    this.#storage = storage(name)
  }

  get(key: string): string | null {
    return this.#storage?.getItem(`signalbox-${key}`) ?? null
  }

  set(key: string, value: string): void {
    try {
      this.#storage?.setItem(`signalbox-${key}`, value)
    } catch {
      // It is full: the value is not kept.
    }
  }

  remove(key: string): void {
    this.#storage?.removeItem(`signalbox-${key}`)
  }
}

export const settings = new Kept('localStorage')
export const drafts = new Kept('sessionStorage')
