// The table of moves as a model: any caller does anything at any time, on the real store, and it does what the table
// and the lease allow and nothing else. SIGNALBOX_SEQUENCES says how many sequences, SIGNALBOX_SEED which ones.
import fc from 'fast-check'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { move, moves, type MoveName } from '../../src/delivery/run-state.ts'
import { SqliteStore } from '../../src/store/sqlite/engine/sqlite-store.ts'
import type { RunState } from '../../src/contract/types.ts'
import type { Store } from '../../src/store/store.ts'
import { limits, newEvent, newRun } from '../conformance/store.ts'

const sequences = Number(process.env.SIGNALBOX_SEQUENCES ?? (process.env.SIGNALBOX_FULL === '1' ? 2000 : 300))
const seed = Number(process.env.SIGNALBOX_SEED ?? 1)
const steps = 60
const together = 50
const t0 = 1_790_000_000_000
const roomForAll = { ...limits, max_open_runs: 1_000_000 }

/** Those that a claim makes, which gives the lease, are made by claims. */
const names = (Object.keys(moves) as MoveName[]).filter(name => name !== 'dispatch' && name !== 'claim')
const step = fc.oneof(
  { weight: 2, arbitrary: fc.constant({ kind: 'emit' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('claim' as const),
      worker: fc.boolean(),
      room: fc.integer({ min: 0, max: 2 }),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('move' as const),
      run: fc.nat(5),
      name: fc.constantFrom(...names),
      token: fc.constantFrom('own' as const, 'own' as const, 'other' as const, 'none' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 5000 }) }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** What is known of a run. */
interface Known {
  id: string
  state: RunState
  token: string | null
  archived: boolean
  cancelling: boolean
  path: string[]
}

const leased = new Set<RunState>(['assigned', 'running', 'paused'])

class Sequence {
  readonly #store: Store
  readonly #bot: string
  readonly #runs: Known[] = []
  #now = t0
  #tokens = 0

  constructor(store: Store, bot: string) {
    this.#store = store
    this.#bot = bot
  }

  async run(all: readonly Step[]): Promise<void> {
    for (const each of all) {
      if (each.kind === 'emit') await this.#emit()
      else if (each.kind === 'claim') await this.#claim(each.worker, each.room)
      else if (each.kind === 'move') await this.#move(each)
      else this.#now += each.ms
    }
    for (const known of this.#runs) await this.#compare(known)
  }

  async #emit(): Promise<void> {
    if (this.#runs.length === 6) return
    const run = newRun({ bot_id: this.#bot, not_before: this.#now })
    await this.#store.accept(
      [
        newEvent({
          received_at: this.#now,
          runs: [run],
          decisions: [{ trigger_id: 'deploy', trigger_version: 1, outcome: 'routed' }],
        }),
      ],
      roomForAll,
    )
    this.#runs.push({
      id: run.id,
      state: 'pending',
      token: null,
      archived: false,
      cancelling: false,
      path: ['pending'],
    })
  }

  async #claim(worker: boolean, room: number): Promise<void> {
    const tokens = [0, 1].map(() => `${worker ? 'w:' : ''}${this.#bot}-${this.#tokens++}`)
    const { runs } = await this.#store.claim({
      bots: [{ bot_id: this.#bot, room }],
      limit: room,
      now: this.#now,
      lease_token: tokens[0]!,
      lease_until: this.#now + 60_000,
      ...(worker ? { worker_tokens: tokens } : {}),
    })
    const waiting = this.#runs.filter(known => known.state === 'pending' && !known.archived)
    expect(runs.length).toBe(Math.min(room, waiting.length))
    for (const run of runs) {
      const known = this.#runs.find(each => each.id === run.id)!
      // Nobody else may have it.
      expect(known).toMatchObject({ state: 'pending', token: null, archived: false })
      known.state = worker ? 'assigned' : 'running'
      known.token = run.lease_token
      known.path.push(known.state)
    }
  }

  async #move({ run: index, name, token }: Step & { kind: 'move' }): Promise<void> {
    const known = this.#runs[index % Math.max(1, this.#runs.length)]
    if (known === undefined) return
    const asked = { ...move(name), run_id: known.id, at: this.#now, not_before: this.#now }
    // Whoever asks for something of the holder's does not hold it; a holder has the token.
    const lease_token = token === 'own' ? known.token : token === 'other' ? 'nobody' : undefined
    const requests =
      asked.move === 'request_cancel'
        ? { request_cancel: true, touch: 'noted' as const }
        : asked.move.startsWith('request_')
          ? { touch: 'noted' as const }
          : {}
    const [outcome] = await this.#store.move([
      {
        ...asked,
        ...requests,
        ...(lease_token === undefined || lease_token === null ? {} : { lease_token }),
      },
    ])
    const fits = lease_token === undefined || lease_token === null || lease_token === known.token
    const allowed = !known.archived && fits && asked.from.includes(known.state)
    expect(outcome!.kind, `${name} of a run that is ${known.state}${known.archived ? ', over' : ''}`).toBe(
      allowed ? 'moved' : 'refused',
    )
    if (!allowed) return
    // Whoever gives back, or fails at, what was to be cancelled has ended it.
    const cancels = known.cancelling && ['pending', 'failed', 'timed_out'].includes(asked.to)
    // What a person paused does not go on by itself.
    const stays = known.state === 'paused' && asked.move === 'recover'
    known.state = cancels ? 'cancelled' : stays ? 'held' : asked.to
    known.archived = cancels || asked.archive === true
    if (asked.move === 'request_cancel') known.cancelling = true
    if (!leased.has(known.state)) {
      known.token = null
      known.cancelling = false
    }
    known.path.push(known.state)
  }

  async #compare({ id, state, token, archived, path }: Known): Promise<void> {
    const run = await this.#store.run(id)
    expect(run).toMatchObject({
      state,
      lease_token: token,
      dead: !archived && (state === 'failed' || state === 'timed_out'),
    })
    const { history } = (await this.#store.history(id))!
    expect(history.map(each => each.to)).toEqual(path)
    expect(history.slice(1).map(each => each.from)).toEqual(path.slice(0, -1))
  }
}

/** A store of its own, gone when the work is done. */
async function withStore(work: (store: SqliteStore) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'sb-'))
  const store = new SqliteStore({ stateDir: directory, onFatal: message => expect.fail(message) })
  await store.start(t0)
  try {
    await work(store)
  } finally {
    await store.stop()
    rmSync(directory, { recursive: true })
  }
}

function sampled(count: number): Step[][] {
  return fc.sample(fc.array(step, { minLength: steps, maxLength: steps }), { numRuns: count, seed })
}

test(
  `${sequences} sequences of ${steps} steps, anybody doing anything`,
  { timeout: 120_000 + sequences * 100 },
  () =>
    withStore(async store => {
      const all = sampled(sequences)
      for (let from = 0; from < all.length; from += together) {
        const works = all.slice(from, from + together).map(async (sequence, index) => {
          try {
            await new Sequence(store, `bot-${from + index}`).run(sequence)
          } catch (error) {
            throw new Error(`sequence ${from + index} of seed ${seed}: ${JSON.stringify(sequence)}`, {
              cause: error,
            })
          }
        })
        await Promise.all(works)
      }
    }),
)

test('control: a store that does not look at leases is noticed', () =>
  withStore(async store => {
    const careless: Store = Object.create(store) as Store
    careless.move = asked => store.move(asked.map(({ lease_token: _, ...rest }) => rest))
    const found = await Promise.allSettled(
      sampled(20).map((sequence, index) => new Sequence(careless, `bot-${index}`).run(sequence)),
    )
    expect(found.filter(each => each.status === 'rejected').length).toBeGreaterThan(0)
  }))
