// Promises P1 and P4: a router that is killed before its n-th file operation has lost nothing that it answered, whatever n
// is: at its first start and every other, in migrations, while events come in over both intakes and runs end.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { freshDirectory } from '../support/router.ts'
import type { FaultNote } from './checker.ts'
import { report, size } from './report.ts'
import { faultyRouter, shim } from './shim.ts'
import { checked, define, send, someEvents, type Sent } from './workload.ts'

/** Points of one life each; SIGNALBOX_POINTS=1500 for as many as there is time for. */
const points = size('SIGNALBOX_POINTS', 5, 250)
/** Beyond this the workload has ended. */
const lastPoint = 900

/** A life, to its end; answers whether that came by the shim. */
async function life(
  directory: string,
  kill_at: number,
  book: Sent[],
  faults: FaultNote[],
  atOnce: number,
  control?: string,
): Promise<boolean> {
  // The mark beside the database would have the broken router refuse to start on what it lost.
  if (control !== undefined) rmSync(join(directory, 'state', 'signalbox.high'), { force: true })
  const router = await faultyRouter(directory, { kill_at, ...(control === undefined ? {} : { control }) })
  if (router.ready) {
    const events = someEvents(12, `p${kill_at}`)
    book.push(...events)
    await define(router).catch(() => undefined)
    // What has no answer is sent again in the next life, as a good sender does.
    await send(router, book, atOnce)
  }
  const died = router.process.exitCode !== null || router.process.signalCode !== null
  if (!died) router.process.kill('SIGKILL')
  const code = await router.ended
  faults.push({
    what: `killed before operation ${kill_at}`,
    at: Date.now(),
    until: Date.now(),
    code,
    expected: null,
  })
  return died
}

/** Lives that end at some points each, one after the other on one state directory. */
async function lives(
  at: readonly number[],
  atOnce: number,
  control?: string,
): Promise<{ wrong: string[]; accepted: number; died: number }> {
  const directory = freshDirectory()
  const book: Sent[] = []
  const faults: FaultNote[] = []
  let died = 0
  for (const point of at) if (await life(directory, point, book, faults, atOnce, control)) died++
  if (control !== undefined) rmSync(join(directory, 'state', 'signalbox.high'), { force: true })
  const last = await faultyRouter(directory)
  expect(last.ready, last.said()).toBe(true)
  await define(last)
  await send(last, book)
  const wrong = await checked(last, book, { faults })
  for (const each of book)
    if (each.event_id === undefined) wrong.push(`${each.delivery_id} was never accepted`)
  last.process.kill('SIGTERM')
  expect(await last.ended).toBe(0)
  return { wrong, accepted: book.length, died }
}

describe.skipIf(shim() === undefined)('killed before a file operation', () => {
  test(`${points} lives`, { timeout: 60_000 + points * 15_000 }, async () => {
    const begun = performance.now()
    // The first operations one by one, in which a start is; then further and further apart.
    const at = Array.from({ length: points }, (_, index) =>
      Math.ceil(1 + (lastPoint - 1) * (index / points) ** 2),
    )
    const { wrong, accepted, died } = await lives(at, 4)
    report(
      'P1 P4',
      `killed before a file operation, ${died} times, ${accepted} events`,
      points,
      wrong.length,
      begun,
    )
    expect(wrong).toEqual([])
    expect(died).toBeGreaterThan(points / 3)
  })

  test('control: what is answered before its commit is missed', async () => {
    // One event after the other, so that each commit that is killed is that of an event which was answered.
    const { wrong } = await lives([900, 61, 87, 113, 139, 165, 191, 217], 1, 'answer-before-commit.mjs')
    expect(wrong.filter(each => each.startsWith('C1'))).not.toEqual([])
  })
})
