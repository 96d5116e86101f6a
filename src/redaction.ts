// Secrets in a stream of bytes: replaced by *** before anybody sees them, also where a secret comes in several chunks.

/** What a secret becomes. */
export const hiddenText = '***'
const hidden = Buffer.from(hiddenText)
/** As much of a secret as is hidden where the rest of it never came. */
const shortestHidden = 8
/** What is held back because secrets in it overlap one another; beyond it all of it is taken for secret. */
const mostHeld = 1_048_576

/** Tokens of the admin listener, of its logins and of callbacks. The router keeps hashes of them, so they are known by their form alone. */
export const routerToken = /sbx_(?:(?:adm|api|wrk|mcp|ses)_[0-9A-Za-z]{46}|run_[0-9a-f]{64})\b/g
/** What may become one with what follows. */
const tokenBegin =
  /s(?:b(?:x(?:_(?:[a-z]{0,3}|(?:adm|api|wrk|mcp|ses)_[0-9A-Za-z]{0,46}|run_[0-9a-f]{0,64}))?)?)?$/
const longestToken = 72
/** With its prefix and its id, which are no secret, as much of its secret as is hidden where the rest of it never came. */
const shortestToken = 24

interface Range {
  from: number
  to: number
}

/** Where secrets are, in order; those that overlap are one. */
function occurrences(data: Buffer, secrets: Iterable<Buffer>): Range[] {
  const found: Range[] = []
  if (data.includes('sbx_'))
    for (const { index, 0: token } of data.toString('latin1').matchAll(routerToken))
      found.push({ from: index, to: index + token.length })
  for (const secret of secrets) {
    for (let at = data.indexOf(secret); at >= 0; at = data.indexOf(secret, at + secret.length))
      found.push({ from: at, to: at + secret.length })
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

/** Where the end of the data that may begin a token starts; its length: there is none. */
function beginOfToken(data: Buffer): number {
  const from = Math.max(0, data.length - longestToken)
  const begin = tokenBegin.exec(data.toString('latin1', from))
  return begin === null ? data.length : from + begin.index
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
    let held = secrets.reduce(
      (first, secret) => Math.min(first, beginOfSecret(data, secret)),
      beginOfToken(data),
    )
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
    const isToken = held.length - beginOfToken(held) >= shortestToken
    const isTelling =
      isToken ||
      [...this.#secrets()].some(secret => held.length - beginOfSecret(held, secret) >= shortestHidden)
    return isTelling ? hidden : shown
  }
}
