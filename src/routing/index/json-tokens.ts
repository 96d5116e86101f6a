// The tokens of a JSON text in bytes, zeros behind its end: where each ends, and whether it is one.

const quote = 0x22
const dot = 0x2e
const backslash = 0x5c

export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function isHexDigit(byte: number): boolean {
  return isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)
}

/**
 * The high bits of those of four bytes at which the reading of a text stops: its end, an escape, what is not allowed in
 * it (below a space). The lowest bit that is set is right, those above it may not be.
 */
export function stops(word: number): number {
  return (
    ((word - 0x20202020) | ((word ^ 0x22222222) - 0x01010101) | ((word ^ 0x5c5c5c5c) - 0x01010101)) &
    ~word &
    0x80808080
  )
}

/** How many bytes stand before the lowest bit that is set. */
export function bytesBefore(bits: number): number {
  return (31 - Math.clz32(bits & -bits)) >> 3
}

/** Index of the next byte at which the reading of a text stops. */
export function textStop(view: DataView, start: number): number {
  for (let at = start; ; at += 4) {
    const found = stops(view.getInt32(at, true))
    if (found !== 0) return at + bytesBefore(found)
  }
}

/** Index of the next byte that is no white space. */
export function spaceEnd(bytes: Uint8Array, view: DataView, start: number): number {
  let at = start
  let byte = bytes[at]!
  if (byte === 0x0a) {
    at++
    while (view.getInt32(at, true) === 0x20202020) at += 4
    byte = bytes[at]!
  }
  while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++at]!
  return at
}

/** Index behind a text of which an escape, its end, or something forbidden comes next; -1: forbidden. */
export function textEnd(bytes: Uint8Array, view: DataView, start: number): number {
  let at = start
  for (;;) {
    if (bytes[at] === quote) return at + 1
    if (bytes[at] !== backslash) return -1
    const escape = bytes[at + 1]!
    if (escape === 0x75) {
      for (let index = 2; index < 6; index++) if (!isHexDigit(bytes[at + index]!)) return -1
      at += 6
    } else if (
      escape === quote ||
      escape === backslash ||
      escape === 0x2f ||
      escape === 0x62 ||
      escape === 0x66 ||
      escape === 0x6e ||
      escape === 0x72 ||
      escape === 0x74
    )
      at += 2
    else return -1
    at = textStop(view, at)
  }
}

/** Index behind a number, or -1. */
export function numberEnd(bytes: Uint8Array, start: number): number {
  let at = start
  if (bytes[at] === 0x2d) at++
  if (bytes[at] === 0x30) at++
  else {
    if (!isDigit(bytes[at]!)) return -1
    while (isDigit(bytes[at]!)) at++
  }
  if (bytes[at] === dot) {
    if (!isDigit(bytes[++at]!)) return -1
    while (isDigit(bytes[at]!)) at++
  }
  if (bytes[at] === 0x65 || bytes[at] === 0x45) {
    at++
    if (bytes[at] === 0x2b || bytes[at] === 0x2d) at++
    if (!isDigit(bytes[at]!)) return -1
    while (isDigit(bytes[at]!)) at++
  }
  return at
}

const wordTrue = 0x65757274
const wordNull = 0x6c6c756e
const wordAlse = 0x65736c61

/** Index behind true, false or null, or -1. */
export function literalEnd(bytes: Uint8Array, view: DataView, at: number): number {
  const word = view.getInt32(at, true)
  if (word === wordTrue || word === wordNull) return at + 4
  return bytes[at] === 0x66 && view.getInt32(at + 1, true) === wordAlse ? at + 5 : -1
}
