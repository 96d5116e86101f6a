// JSON as bytes: limits that hold before it is parsed, and where in the text a value stands. What is stored is that
// very text, because parsing and writing again would change numbers, doubled keys and white space.

export interface JsonLimits {
  json_depth: number
  json_tokens: number
}

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d

/** Index behind the string that begins at a quote. Quotes are looked for natively: bodies are mostly strings. */
function stringEnd(text: Uint8Array, start: number, end: number): number {
  let at = start + 1
  for (;;) {
    const found = text.indexOf(quote, at)
    if (found < 0 || found >= end) return end
    let before = found - 1
    while (text[before] === backslash) before--
    // An even number of backslashes before it leaves the quote a quote.
    if ((found - before) % 2 === 1) return found + 1
    at = found + 1
  }
}

/**
 * What exceeds the limits, in words, or undefined. The text need not be valid: JSON.parse says that later. A token is a
 * value or a key, after a comma, a colon or an opening bracket.
 */
export function exceededLimit(
  text: Uint8Array,
  limits: JsonLimits,
  start = 0,
  end = text.length,
): string | undefined {
  let depth = 0
  let tokens = 1
  for (let at = start; at < end; at++) {
    const byte = text[at]!
    if (byte === quote) {
      at = stringEnd(text, at, end) - 1
    } else if (byte === comma || byte === colon) {
      tokens++
    } else if (byte === openBrace || byte === openBracket) {
      tokens++
      if (++depth > limits.json_depth) return `JSON nests deeper than ${limits.json_depth}`
    } else if (byte === closeBrace || byte === closeBracket) depth--
  }
  return tokens > limits.json_tokens
    ? `JSON holds more than ${limits.json_tokens} values and keys`
    : undefined
}

function skipSpace(text: Uint8Array, at: number): number {
  while (
    at < text.length &&
    (text[at] === 0x20 || text[at] === 0x0a || text[at] === 0x0d || text[at] === 0x09)
  )
    at++
  return at
}

/** Index behind the value that begins here. */
function valueEnd(text: Uint8Array, start: number): number {
  const first = text[start]
  if (first === quote) return stringEnd(text, start, text.length)
  if (first !== openBrace && first !== openBracket) {
    let at = start
    while (
      at < text.length &&
      text[at] !== comma &&
      text[at] !== closeBrace &&
      text[at] !== closeBracket &&
      text[at]! > 0x20
    )
      at++
    return at
  }
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const byte = text[at]!
    if (byte === quote) at = stringEnd(text, at, text.length) - 1
    else if (byte === openBrace || byte === openBracket) depth++
    else if ((byte === closeBrace || byte === closeBracket) && --depth === 0) return at + 1
  }
  return text.length
}

function keyOf(text: Uint8Array, start: number, end: number): string {
  const raw = Buffer.from(text.buffer, text.byteOffset + start, end - start).toString('utf8')
  return raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1)
}

function memberStart(text: Uint8Array, start: number, name: string): number {
  let found = -1
  let at = skipSpace(text, start + 1)
  while (at < text.length && text[at] === quote) {
    const keyEnd = stringEnd(text, at, text.length)
    const key = keyOf(text, at, keyEnd)
    const value = skipSpace(text, skipSpace(text, keyEnd) + 1)
    // The last of doubled keys counts, as in JSON.parse.
    if (key === name) found = value
    at = skipSpace(text, valueEnd(text, value))
    if (text[at] === comma) at = skipSpace(text, at + 1)
  }
  return found
}

/** The texts of the elements of an array, in one pass. Of a text that is no array: none. */
export function elementTexts(text: Uint8Array, start = skipSpace(text, 0)): Uint8Array[] {
  const found: Uint8Array[] = []
  if (text[start] !== openBracket) return found
  let at = skipSpace(text, start + 1)
  while (at < text.length && text[at] !== closeBracket) {
    const end = valueEnd(text, at)
    found.push(text.subarray(at, end))
    at = skipSpace(text, end)
    if (text[at] === comma) at = skipSpace(text, at + 1)
  }
  return found
}

/**
 * The first key that stands twice in one object of a JSON text that has been parsed before, with its path; undefined
 * where there is none. JSON.parse lets the last win without a word.
 */
export function doubledKey(text: Uint8Array, start = skipSpace(text, 0), path = ''): string | undefined {
  if (text[start] === openBracket) {
    for (const element of elementTexts(text, start)) {
      const found = doubledKey(element, skipSpace(element, 0), path)
      if (found !== undefined) return found
    }
    return undefined
  }
  if (text[start] !== openBrace) return undefined
  const keys = new Set<string>()
  let at = skipSpace(text, start + 1)
  while (at < text.length && text[at] === quote) {
    const keyEnd = stringEnd(text, at, text.length)
    const key = keyOf(text, at, keyEnd)
    const own = path === '' ? key : `${path}.${key}`
    if (keys.has(key)) return own
    keys.add(key)
    const value = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const found = doubledKey(text, value, own)
    if (found !== undefined) return found
    at = skipSpace(text, valueEnd(text, value))
    if (text[at] === comma) at = skipSpace(text, at + 1)
  }
  return undefined
}

function elementStart(text: Uint8Array, start: number, index: number): number {
  let at = skipSpace(text, start + 1)
  for (let count = 0; at < text.length && text[at] !== closeBracket; count++) {
    if (count === index) return at
    at = skipSpace(text, valueEnd(text, at))
    if (text[at] === comma) at = skipSpace(text, at + 1)
  }
  return -1
}

/**
 * The bytes of the value at a path of a JSON text that has been parsed before, so is known to be valid.
 * Answers undefined where there is none.
 */
export function valueText(text: Uint8Array, path: readonly (string | number)[]): Uint8Array | undefined {
  let at = skipSpace(text, 0)
  for (const step of path) {
    if (typeof step === 'number' && text[at] === openBracket) at = elementStart(text, at, step)
    else if (typeof step === 'string' && text[at] === openBrace) at = memberStart(text, at, step)
    else return undefined
    if (at < 0) return undefined
  }
  return text.subarray(at, valueEnd(text, at))
}
