// The text of tokens and of logins: sbx_KIND_, 8 characters that name it, 32 that are its secret, 6 that are a checksum. Secrets have
// 190 bits, so a fast hash suffices.
import { hash, randomInt, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { TokenRow } from '../store/store.ts'

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const [idLength, secretLength, checkLength] = [8, 32, 6]
const shape = /^sbx_(adm|api|wrk|mcp|ses)_([0-9A-Za-z]{8})[0-9A-Za-z]{32}([0-9A-Za-z]{6})$/
const noHash = Buffer.alloc(32)

function randomText(length: number): string {
  return Array.from({ length }, () => digits[randomInt(digits.length)]!).join('')
}

/** The checksum of the rest of a token: typing errors are found without looking it up. */
function checksum(text: string): string {
  let rest = crc32(text)
  let check = ''
  for (let count = 0; count < checkLength; count++) {
    check = digits[rest % digits.length]! + check
    rest = Math.floor(rest / digits.length)
  }
  return check
}

/** A new secret of a kind, and its SHA-256. taken: ids that are in use */
export function makeSecret(
  kind: TokenRow['kind'],
  taken: { has: (id: string) => boolean },
): { id: string; text: string; hash: Buffer } {
  let id = randomText(idLength)
  while (taken.has(id)) id = randomText(idLength)
  const begin = `sbx_${kind}_${id}${randomText(secretLength)}`
  const text = begin + checksum(begin)
  return { id, text, hash: hash('sha256', text, 'buffer') }
}

/** The kind and the id that a text names; undefined: it is no such text. */
export function givenIn(text: string): Pick<TokenRow, 'kind' | 'id'> | undefined {
  const [, kind, id, check] = shape.exec(text) ?? []
  if (check === undefined || checksum(text.slice(0, -checkLength)) !== check) return undefined
  return { kind: kind as TokenRow['kind'], id: id! }
}

/** Whether a hash is that of a text, in constant time. hash: undefined: there is none */
export function isHashOf(text: string, known: Uint8Array | undefined): boolean {
  return timingSafeEqual(hash('sha256', text, 'buffer'), known ?? noHash)
}
