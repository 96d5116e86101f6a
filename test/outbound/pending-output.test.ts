// What a command printed while the router was slower: bounded, the beginning and the end of it, with offsets that tell what is missing.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { End, headBytes, PendingOutput, type CommandStream } from '../../src/outbound/pending-output.ts'

const most = 4 * headBytes

/** Chunk number so-and-so is of bytes of that number. */
function filled(
  chunks: readonly { stream: CommandStream; length: number }[],
  pending: PendingOutput,
): Record<CommandStream, Buffer> {
  const printed: Record<CommandStream, Buffer[]> = { stdout: [], stderr: [] }
  for (const [index, { stream, length }] of chunks.entries()) {
    const chunk = Buffer.alloc(length, index % 251)
    printed[stream].push(chunk)
    pending.add(stream, chunk)
  }
  return { stdout: Buffer.concat(printed.stdout), stderr: Buffer.concat(printed.stderr) }
}

describe('output that waits', () => {
  test('is what was printed at its offsets; the head and the end are there, and it is bounded', () => {
    const chunk = fc.record({
      stream: fc.constantFrom<CommandStream>('stdout', 'stderr'),
      length: fc.integer({ min: 1, max: 65_536 }),
    })
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 40 }),
        fc.array(fc.nat(30), { minLength: 40, maxLength: 40 }),
        (chunks, ages) => {
          let now = 0
          const pending = new PendingOutput(most, () => (now += ages[now % ages.length]! + 1))
          const printed = filled(chunks, pending)
          const taken = pending.take(Infinity)
          expect(taken.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeLessThanOrEqual(
            most + 2 * 65_536,
          )
          for (const { stream, offset, bytes, age_ms } of taken) {
            expect(printed[stream].subarray(offset, offset + bytes.length).equals(bytes)).toBe(true)
            expect(age_ms).toBeGreaterThanOrEqual(0)
          }
          const last = chunks.at(-1)?.stream
          const end = taken.findLast(({ stream }) => stream === last)
          expect((end?.offset ?? 0) + (end?.bytes.length ?? 0)).toBe(
            last === undefined ? 0 : printed[last].length,
          )
          const total = printed.stdout.length + printed.stderr.length
          if (total + 64 * chunks.length <= most)
            expect(taken.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBe(total)
          expect(pending.isEmpty).toBe(true)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('the beginning stays however much follows', () => {
    const pending = new PendingOutput(most, () => 0)
    pending.add('stdout', Buffer.from('first'))
    for (let count = 0; count < 100; count++) pending.add('stderr', Buffer.alloc(65_536))
    pending.add('stdout', Buffer.from('last'))
    const taken = pending.take(Infinity).map(({ stream, offset, bytes }) => [stream, offset, bytes.length])
    expect(taken[0]).toEqual(['stdout', 0, 5])
    expect(taken.at(-1)).toEqual(['stdout', 5, 4])
    expect(taken.length).toBeLessThan(8)
  })

  test('is taken in batches', () => {
    const pending = new PendingOutput(most, () => 0)
    for (let count = 0; count < 4; count++)
      pending.add(count % 2 === 0 ? 'stdout' : 'stderr', Buffer.alloc(100))
    expect([
      pending.take(250).length,
      pending.take(50).length,
      pending.take(250).length,
      pending.isEmpty,
    ]).toEqual([2, 1, 1, true])
  })
})

test('an end has the last bytes and counts all of them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 60 }),
      fc.integer({ min: 1, max: 40 }),
      (chunks, length) => {
        const end = new End(length)
        for (const chunk of chunks) end.add(Buffer.from(chunk))
        const all = Buffer.concat(chunks)
        expect(end.total).toBe(all.length)
        expect(end.bytes().equals(all.subarray(-length))).toBe(true)
      },
    ),
  )
})
