// The examination of all runs that have not ended: those whose rows are damaged are buried, and what is derived from rows
// (lanes, dependencies) is compared with them and put right. It runs at each start, and when an operation fails for a reason
// that has no other explanation. Measured: at most 31 us a run with two gates.
import { dependencyLane, type RunFlow } from '../../flow.ts'
import type { Burial } from './burial.ts'
import type { DamagedColumn, DamageLog } from '../tables/damage.ts'
import type { Lanes } from './lanes.ts'
import type { Db } from '../db.ts'
import { isOpen } from './queues.ts'
import { mayWaitFor } from './run-lanes.ts'
import { runColumns, runDamage, type RunRow } from '../tables/run-rows.ts'

const pageSize = 500
/** Runs that one examination looks at: at a start nothing else is done meanwhile. */
const mostExamined = 50_000

/** What of a row does not go with its gates and its history. */
function contradictions(row: RunRow, flow: RunFlow | null, lastStep: number): DamagedColumn[] {
  const found: DamagedColumn[] = []
  if (row.steps < lastStep)
    found.push({ column: 'steps', why: `its history has ${lastStep} steps; got ${row.steps}` })
  if (row.parked_on !== null && !mayWaitFor(row.trigger_id, flow ?? {}, row.parked_on))
    found.push({
      column: 'parked_on',
      why: `no gate of the run has the lane ${JSON.stringify(row.parked_on.slice(0, 80))}`,
    })
  return found
}

export class Examination {
  readonly #lanes: Lanes
  readonly #burial: Burial
  readonly #damage: DamageLog
  readonly #page
  readonly #lostDependency
  readonly #dependencies

  constructor(db: Db, { lanes, burial, damage }: { lanes: Lanes; burial: Burial; damage: DamageLog }) {
    this.#lanes = lanes
    this.#burial = burial
    this.#damage = damage
    this.#page = db.prepare<[number, number], RunRow>(
      `SELECT ${runColumns} FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?`,
    )
    this.#dependencies = db
      .prepare<[number], number>('SELECT count(*) FROM run_dependency WHERE run_seq = ?')
      .pluck()
    this.#lostDependency = db
      .prepare<[number], number>(
        'SELECT on_seq FROM run_dependency WHERE run_seq = ? AND on_seq NOT IN (SELECT seq FROM outbox) LIMIT 1',
      )
      .pluck()
  }

  /** In a transaction; answers how many runs were buried. */
  run(now: number): number {
    const members = this.#lanes.members()
    const none = new Map<string, number>()
    let buried = 0
    let examined = 0
    for (let after = Number.MIN_SAFE_INTEGER; examined < mostExamined;) {
      const page = this.#page.all(after, pageSize)
      for (const row of page) if (this.#one(row, members.get(row.seq) ?? none, now)) buried++
      examined += page.length
      if (page.length < pageSize) break
      after = page.at(-1)!.seq
    }
    return buried
  }

  /** Answers whether a run was buried. */
  #one(row: RunRow, members: ReadonlyMap<string, number>, now: number): boolean {
    const damaged = runDamage(row)
    const flow = damaged.length > 0 || row.flow === null ? null : (JSON.parse(row.flow) as RunFlow)
    const all =
      damaged.length > 0
        ? damaged
        : [...contradictions(row, flow, this.#burial.lastStep(row.seq)), ...this.#dependency(row)]
    if (all.length > 0) {
      this.#damage.addRow('outbox', row.seq, all)
      if (!isOpen(row.state) && row.finished_at !== null && damaged.every(({ column }) => column !== 'state'))
        return false
      this.#burial.bury(row, all, now)
      return true
    }
    if (this.#lanes.mend(row, flow ?? {}, members))
      this.#damage.add(
        `run_lane is damaged: run ${row.seq} was not in the lanes that it is to be in; they were put right`,
      )
    if (flow?.stopped_at !== undefined && this.#lanes.pauses.of(row.trigger_id) === undefined)
      this.#lanes.pauses.startClocks(row.trigger_id, now)
    if (
      row.parked_on !== null &&
      row.parked_on !== dependencyLane &&
      this.#lanes.judge(row, flow ?? {}, row.bot_id, now).kind !== 'park'
    )
      this.#lanes.open(row.parked_on, now)
    return false
  }

  #dependency({ seq, parked_on }: RunRow): DamagedColumn[] {
    if (parked_on !== dependencyLane) return []
    if (this.#dependencies.get(seq) === 0)
      return [
        { column: 'parked_on', why: 'it waits for other runs, but no row of run_dependency says for which' },
      ]
    const lost = this.#lostDependency.get(seq)
    return lost === undefined
      ? []
      : [
          {
            column: 'parked_on',
            why: `it waits for run ${lost} (run_dependency.on_seq), which is not stored`,
          },
        ]
  }
}
