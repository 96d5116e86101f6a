// Ids of events and runs: UUIDv7 (RFC 9562), in order of their making within one process.
import { randomFillSync } from 'node:crypto'

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

export type MakeId = (now: number) => string

/**
 * Answers a function that makes UUIDv7s from a time in milliseconds. Within one millisecond, or when the clock
 * steps back, the 12 bits behind the time count on, so that ids keep rising (method 1 of RFC 9562, 6.2).
 */
export function uuidv7Maker(fill: (buffer: Uint8Array) => void = randomFillSync): MakeId {
  const pool = new Uint8Array(8 * 512)
  let used = pool.length
  let last = 0
  let counter = 0
  return now => {
    if (now > last) {
      last = now
      counter = 0
    } else if (++counter > 0xfff) {
      last++
      counter = 0
    }
    if (used === pool.length) {
      fill(pool)
      used = 0
    }
    const time = last.toString(16).padStart(12, '0')
    const tail = pool.subarray(used, (used += 8))
    const count = (0x7000 | counter).toString(16)
    let text = `${time.slice(0, 8)}-${time.slice(8)}-${count}-${hex[0x80 | (tail[0]! & 0x3f)]}${hex[tail[1]!]}-`
    for (let index = 2; index < 8; index++) text += hex[tail[index]!]
    return text
  }
}
