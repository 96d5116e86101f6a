// Limits over time, on a clock that jumps: whatever comes when, no window holds more passes than it may, none that had
// room is kept back, and what waits gets its turn.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BudgetGate, RunFlow } from '../../src/store/flow.ts'
import { BegunRuns, begunWithin } from '../../src/store/sqlite/tables/begun.ts'
import { Rings } from '../../src/store/sqlite/tables/rate-limits.ts'
import type { PackedEvent } from '../../src/store/sqlite/engine/protocol.ts'
import { Work } from '../../src/store/sqlite/engine/operations.ts'
import type { AcceptOutcome, ClaimAnswer, NewRun } from '../../src/store/store.ts'
import { limits, newEvent, newRun } from '../conformance/store.ts'
import { size } from '../faults/report.ts'
import { freshDatabase } from '../support/local-store.ts'

const t0 = 1_790_000_000_000
/** Sequences of each property, in parts of the quick number. */
const share = size('SIGNALBOX_RATES', 1, 4)

/** The store's work without its thread: each call is a transaction of its own. */
class Driver {
  readonly #db = freshDatabase()
  #work = new Work(this.#db, 'none')
  #tokens = 0

  /** As a process that was killed and started again; what was in hand is owed again. */
  restart(now: number): void {
    this.#work = new Work(this.#db, 'none')
    this.#work.start(now)
  }

  emit(at: number, run: Partial<NewRun>): AcceptOutcome & { kind: 'accepted' } {
    const { body, ...event } = newEvent({
      received_at: at,
      runs: [newRun({ not_before: at, ...run })],
      decisions: [{ trigger_id: 'deploy', trigger_version: 1, outcome: 'routed' }],
    })
    const packed: PackedEvent = { ...event, body_at: 0, body_length: body.byteLength }
    const perform = (): unknown =>
      this.#work.perform(
        { op: 'accept', events: [packed], limits: { ...limits, max_open_runs: 1_000_000 } },
        new Uint8Array(body).buffer,
      )
    return (this.#db.transaction(perform)() as AcceptOutcome[])[0] as AcceptOutcome & { kind: 'accepted' }
  }

  claim(now: number, room: number): ClaimAnswer {
    const request = {
      bots: [{ bot_id: 'deployer', room }],
      limit: room,
      now,
      lease_token: `t${this.#tokens++}`,
      lease_until: now + 60_000,
    }
    return this.#db.transaction(() =>
      this.#work.perform({ op: 'claim', args: [request] }, new ArrayBuffer(0)),
    )() as ClaimAnswer
  }

  complete(run_id: string, at: number): void {
    this.#db.transaction(() =>
      this.#work.perform(
        {
          op: 'move',
          moves: [{ run_id, move: 'complete', from: ['running'], to: 'completed', archive: true, at }],
        },
        new ArrayBuffer(0),
      ),
    )()
  }

  queue(definition: object): void {
    this.#db.transaction(() =>
      this.#work.perform(
        {
          op: 'write',
          args: [[{ noun: 'queue', id: 'deployer', definition: { id: 'deployer', ...definition }, at: t0 }]],
        },
        new ArrayBuffer(0),
      ),
    )()
  }
}

/** Where a window of some length holds more than it may. */
function crowded(
  times: readonly number[],
  { limit, period_ms }: { limit: number; period_ms: number },
): number | undefined {
  return times.find((time, index) => index >= limit && time - times[index - limit]! < period_ms)
}

const waits = fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 20, maxLength: 60 })
const gate = fc.record({
  limit: fc.integer({ min: 1, max: 5 }),
  period_ms: fc.integer({ min: 1, max: 8000 }),
})

describe('limits over time', () => {
  test('a rate limit lets pass exactly what the window has room for', () => {
    fc.assert(
      fc.property(gate, waits, fc.nat(19), (wanted, all, restart) => {
        const driver = new Driver()
        const flow: RunFlow = { rate_limit: { key: 'k', ...wanted } }
        const passed: number[] = []
        let now = t0
        for (const [index, wait] of all.entries()) {
          now += wait
          if (index === restart) driver.restart(now)
          const has = passed.filter(time => time > now - wanted.period_ms).length < wanted.limit
          const { outcome } = driver.emit(now, { flow }).decisions[0]!
          expect(outcome).toBe(has ? 'routed' : 'rate_limited')
          if (has) passed.push(now)
        }
      }),
      { numRuns: 30 * share },
    )
  })

  test.each(['throttle', 'budget', 'queue'] as const)(
    '%s: no window holds more, nothing is kept back that had room, and all go in the end',
    kind => {
      fc.assert(
        fc.property(gate, waits, fc.nat(19), (wanted, all, restart) => {
          const driver = new Driver()
          if (kind === 'queue') driver.queue({ rate: wanted })
          const rate = { key: 'k', ...wanted }
          const flow: RunFlow =
            kind === 'throttle'
              ? { throttle: { lane: 'throttle:k', rates: [rate] } }
              : kind === 'budget'
                ? {
                    budgets: [
                      {
                        scope: 'trigger:t',
                        figure: 'runs',
                        limit: wanted.limit,
                        period_ms: wanted.period_ms,
                      },
                    ],
                  }
                : {}
          const begun: number[] = []
          const room = (): number => wanted.limit - begun.filter(time => time > now - wanted.period_ms).length
          let now = t0
          let owed = 0
          const claim = (): void => {
            const expected = Math.min(owed, room())
            // A queue's rate lets one after the other pass: it is asked until it has no room.
            let got = 0
            for (
              let answer = driver.claim(now, 100);
              answer.runs.length > 0;
              answer = driver.claim(now, 100)
            ) {
              for (const run of answer.runs) driver.complete(run.id, now)
              got += answer.runs.length
            }
            expect(got).toBe(Math.max(0, expected))
            owed -= got
            for (let count = 0; count < got; count++) begun.push(now)
          }
          for (const [index, wait] of all.entries()) {
            now += wait
            if (index === restart) driver.restart(now)
            if (index % 2 === 0) {
              driver.emit(now, Object.keys(flow).length === 0 ? {} : { flow })
              owed++
            } else claim()
          }
          // The store says when there is room again; nobody has to guess.
          for (let rounds = 0; rounds < 200; rounds++) {
            if (owed === 0) break
            const { next_due_at } = driver.claim(now, 0)
            claim()
            if (next_due_at !== null && next_due_at > now) now = next_due_at
          }
          expect(owed).toBe(0)
          expect(crowded(begun, wanted)).toBeUndefined()
        }),
        { numRuns: 30 * share },
      )
    },
  )

  test('a pass that came to nothing is given back where it stood', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 }),
        fc.nat(),
        (limit, all, which) => {
          const [given, never] = [freshDatabase(), freshDatabase()].map(db => new Rings(db)) as [Rings, Rings]
          const rate = { key: 'k', limit, period_ms: 1000 }
          const passes: number[] = []
          let now = t0
          for (const wait of all) {
            now += wait
            if (given.opensAt(rate, now) > now) continue
            given.take(rate, now)
            passes.push(now)
          }
          // One of those that a window still counts.
          const counted = passes.slice(-limit)
          const lost = counted[which % counted.length]!
          given.giveBack(rate, lost)
          for (const time of passes.filter(each => each !== lost)) never.take(rate, time)
          for (let later = now; later < now + 2100; later += 50) {
            expect(given.opensAt(rate, later) > later).toBe(never.opensAt(rate, later) > later)
            if (given.opensAt(rate, later) > later) continue
            given.take(rate, later)
            never.take(rate, later)
          }
        },
      ),
      { numRuns: 100 * share },
    )
  })

  test('a begun run that came to nothing counts for no budget', () => {
    const budgets: BudgetGate[] = [1, 2, 4].map(limit => ({
      scope: 'bot:b',
      figure: 'runs',
      limit,
      period_ms: 1000 * limit,
    }))
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 12 }),
        fc.nat(),
        (steps, chosen) => {
          const [given, never] = [new BegunRuns(freshDatabase()), new BegunRuns(freshDatabase())]
          const times = steps.map(
            (_, index) => t0 + steps.slice(0, index + 1).reduce((sum, step) => sum + step, 0),
          )
          const back = times[chosen % times.length]!
          for (const at of times) given.take(budgets[0]!, at)
          for (const [index, at] of times.entries())
            if (index !== times.indexOf(back)) never.take(budgets[0]!, at)
          given.giveBack(budgets[0]!, back)
          for (const each of budgets) expect(given.opensAt(each, t0 + 40)).toBe(never.opensAt(each, t0 + 40))
        },
      ),
      { numRuns: 50 * share },
    )
  })

  test('runs that were counted for one limit count for every other', () => {
    const db = freshDatabase()
    const former = { key: 'budget:t', limit: 3, period_ms: 1000 }
    const rings = new Rings(db)
    for (const at of [t0, t0 + 1, t0 + 2, t0 + 3]) rings.take(former, at)
    const begun = new BegunRuns(db)
    const budget = (limit: number): BudgetGate => ({
      scope: 'trigger:t',
      figure: 'runs',
      limit,
      period_ms: 1000,
    })
    expect(begunWithin(db)(budget(3), t0 + 4)).toBe(3)
    expect(begun.opensAt(budget(3), t0 + 4)).toBe(t0 + 1001)
    expect(begun.opensAt(budget(2), t0 + 4)).toBe(t0 + 1002)
    expect(begun.opensAt(budget(4), t0 + 4)).toBe(0)
    expect(begunWithin(db)(budget(4), t0 + 4)).toBe(3)
  })

  test('control: a window that is counted by the clock’s hours lets twice as many pass', () => {
    const times = [59, 59.5, 60, 60.5].map(minute => t0 + minute * 60_000)
    expect(crowded(times, { limit: 2, period_ms: 3_600_000 })).toBeDefined()
  })
})

test('nothing waits for ever: a level of priority is worth a minute, however many come with a higher one', () => {
  const driver = new Driver()
  const low = driver.emit(t0, { priority: -100 }).run_ids[0]!
  let waited = 0
  for (; waited < 300; waited++) {
    const now = t0 + waited * 60_000
    driver.emit(now, { priority: 100 })
    const [run] = driver.claim(now, 1).runs
    driver.complete(run!.id, now)
    if (run!.id === low) break
  }
  expect(waited).toBe(200)
})
