// Secrets in a stream of bytes: replaced by *** before anybody sees them, also where a secret comes in several chunks.

/** What a secret becomes. */
export const hiddenText = '***'
const hidden = Buffer.from(hiddenText)
/** As much of a secret as is hidden where the rest of it never came. */
const shortestHidden = 8
/** What is held back because secrets in it overlap one another; beyond it all of it is taken for secret. */
const mostHeld = 1_048_576

interface Range {
  from: number
  to: number
}

/** Where secrets are, in order; those that overlap are one. */
function occurrences(data: Buffer, secrets: Iterable<Buffer>): Range[] {
  const found: Range[] = []
  for (const secret of secrets) {
    for (let at = data.indexOf(secret); at >= 0; at = data.indexOf(secret, at + secret.length)) found.push({ from: at, to: at + secret.length })
  }
  if (found.length < 2) return found
  found.sort((a, b) => a.from - b.from)
  const merged: Range[] = []
  for (const range of found) {
    const last = merged.at(-1)
    if (last !== undefined && range.from < last.to) last.to = Math.max(last.to, range.to)
    else merged.push(range)
  }
  return merged
}

/** Where the longest end of the data that begins a secret starts; its length: there is none. */
function beginOfSecret(data: Buffer, secret: Buffer): number {
  for (let at = Math.max(0, data.length - secret.length + 1); ; at++) {
    at = data.indexOf(secret[0]!, at)
    if (at < 0) return data.length
    if (data.compare(secret, 0, data.length - at, at) === 0) return at
  }
}

export class StreamRedactor {
  /** secrets that are known by now; none is empty */
  readonly #secrets: () => Iterable<Buffer>
  #held = Buffer.alloc(0)
  /** bytes that are left out: they may be the end of a secret whose beginning is missing */
  #doubtful = 0

  constructor(secrets: () => Iterable<Buffer>) {
    this.#secrets = secrets
  }

  /** Answers what can be shown by now; what may be the beginning of a secret is held back. */
  push(chunk: Buffer): Buffer {
    const left_out = Math.min(this.#doubtful, chunk.length)
    this.#doubtful -= left_out
    const rest = chunk.subarray(left_out)
    const data = this.#held.length === 0 ? rest : Buffer.concat([this.#held, rest])
    if (data.length === 0) return data
    const secrets = [...this.#secrets()]
    const found = occurrences(data, secrets)
    let held = secrets.reduce((first, secret) => Math.min(first, beginOfSecret(data, secret)), data.length)
    // A secret that reaches into what is held back stays whole.
    for (const { from, to } of found.toReversed()) if (from < held && to > held) held = from
    if (data.length - held > mostHeld) {
      found.push({ from: held, to: data.length })
      held = data.length
    }
    this.#held = Buffer.from(data.subarray(held))
    return this.#replaced(data, found, held)
  }

  #replaced(data: Buffer, found: readonly Range[], end: number): Buffer {
    const shown: Buffer[] = []
    let at = 0
    for (const { from, to } of found) {
      if (from >= end) break
      shown.push(data.subarray(at, from), hidden)
      at = to
    }
    if (shown.length === 0) return data.subarray(0, end)
    return Buffer.concat([...shown, data.subarray(at, end)])
  }

  /** Bytes are missing here; answers what was held back before them. What follows may be the end of a secret. */
  gap(): Buffer {
    const before = this.end()
    this.#doubtful = 0
    for (const secret of this.#secrets()) this.#doubtful = Math.max(this.#doubtful, secret.length - 1)
    return before
  }

  /** Nothing follows; answers what was held back: a beginning of a secret is hidden where it says something of it. */
  end(): Buffer {
    const held = this.#held
    this.#held = Buffer.alloc(0)
    if (held.length === 0) return held
    const found = occurrences(held, this.#secrets())
    const shown = this.#replaced(held, found, held.length)
    const isTelling = [...this.#secrets()].some(secret => held.length - beginOfSecret(held, secret) >= shortestHidden)
    return isTelling ? hidden : shown
  }
}
