// Where bytes of UTF-8 may be cut without cutting a character. Pure.

/** Bytes of the character that a byte begins; 1 for what begins none. */
function lengthFrom(lead: number): number {
  if (lead >= 0xf0 && lead < 0xf8) return 4
  if (lead >= 0xe0) return lead < 0xf0 ? 3 : 1
  return lead >= 0xc0 ? 2 : 1
}

/** The largest cut of at most so many bytes that leaves no half of a character before it; what is not UTF-8 is cut where it was asked for. */
export function characterCut(bytes: Uint8Array, most: number): number {
  const end = Math.min(most, bytes.length)
  for (let back = 1; back <= 3 && back <= end; back++) {
    const byte = bytes[end - back]!
    // A byte that continues a character.
    if ((byte & 0xc0) === 0x80) continue
    return lengthFrom(byte) > back ? end - back : end
  }
  return end
}
