// When intake ends for want of room on the disk, and when it resumes.
import { describe, expect, test } from 'vitest'
import { diskState } from '../src/observe/disk.ts'
import type { Space } from '../src/store/store.ts'

describe('intake ends below the reserve and resumes above it', () => {
  const none: Space = { database_bytes: 0, wal_bytes: 0, reusable_bytes: 0, gives_back: true }
  test.each([
    ['less than the reserve', 9, none, false, true],
    ['the reserve', 10, none, false, false],
    ['free pages count as room', 6, { ...none, reusable_bytes: 5 }, false, false],
    ['the log needs the disk itself', 4, { ...none, reusable_bytes: 50 }, false, true],
    ['once ended, not at the reserve', 10, { ...none, database_bytes: 50 }, true, true],
    ['once ended, at twice the reserve', 20, { ...none, database_bytes: 50 }, true, false],
    ['half way to what can become free', 12, { ...none, database_bytes: 3 }, true, false],
    ['less than half way', 11, { ...none, database_bytes: 3 }, true, true],
    [
      'free pages go back to the disk first',
      5,
      { ...none, database_bytes: 99, reusable_bytes: 99 },
      true,
      true,
    ],
    ['they cannot', 5, { ...none, database_bytes: 99, reusable_bytes: 99, gives_back: false }, true, false],
  ] as [string, number, Space, boolean, boolean][])('%s', (_name, free, space, wasFull, full) => {
    expect(diskState(free, 10, space, wasFull).full).toBe(full)
  })

  test('whatever the sizes, an emptied database lets it resume', () => {
    for (let reserve = 1; reserve < 40; reserve++)
      for (let database = 0; database < 60; database++)
        for (let others = 0; others < 60; others++) {
          const disk = 100
          const emptied = diskState(disk - others, reserve, none, true)
          // Where intake would not even begin, nothing can help it to resume.
          const begins = !diskState(disk - others, reserve, none, false).full
          if (begins && disk - others > reserve + 1)
            expect([reserve, database, others, emptied.full]).toEqual([reserve, database, others, false])
        }
  })
})
