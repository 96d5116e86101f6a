// IP addresses and blocks of addresses, as filters compare them. Pure.
import { isIPv6 } from 'node:net'

/** A block of addresses, both ends included. Those of v4 are doubles: most patterns with addresses use v4. */
export type Block = { version: 4; low: number; high: number } | { version: 6; low: bigint; high: bigint }

const [zero, nine, point] = [0x30, 0x39, 0x2e]

/** A v4 address as a number, or -1: four decimal parts up to 255, without leading zeros. */
export function v4Number(text: string): number {
  if (text.length > 15 || text.length < 7) return -1
  let value = 0
  let part = -1
  let parts = 0
  for (let index = 0; index <= text.length; index++) {
    const unit = index === text.length ? point : text.charCodeAt(index)
    if (unit === point) {
      if (part < 0 || ++parts > 4) return -1
      value = value * 256 + part
      part = -1
    } else if (unit < zero || unit > nine || part === 0) return -1
    else part = (part < 0 ? 0 : part * 10) + unit - zero
    if (part > 255) return -1
  }
  return parts === 4 ? value : -1
}

/** A v6 address that net.isIPv6 knows. */
export function v6Value(text: string): bigint {
  const quad = /\d+\.\d+\.\d+\.\d+$/.exec(text)?.[0] ?? ''
  const v4 = BigInt(quad === '' ? 0 : v4Number(quad))
  const plain =
    quad === ''
      ? text
      : `${text.slice(0, -quad.length)}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`
  const [front = '', back = ''] = plain.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const [left, right] = [groups(front), groups(back)]
  const all = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right]
  return all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n)
}

const mappedPrefix = 0xffffn

/**
 * A text as an address; a v6 address that carries one of v4 (::ffff:10.0.0.1) is that one too. A zone id makes it none.
 */
export function addressOf(text: string): { v4: number; v6: bigint | undefined } {
  const v4 = v4Number(text)
  if (v4 >= 0 || !text.includes(':') || text.length > 45 || text.includes('%') || !isIPv6(text))
    return { v4, v6: undefined }
  const v6 = v6Value(text)
  return { v4: v6 >> 32n === mappedPrefix ? Number(v6 & 0xffff_ffffn) : -1, v6 }
}

export function inBlock(block: Block, text: string): boolean {
  const { v4, v6 } = addressOf(text)
  return block.version === 4
    ? v4 >= block.low && v4 <= block.high
    : v6 !== undefined && v6 >= block.low && v6 <= block.high
}
