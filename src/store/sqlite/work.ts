// What each operation of the writing thread does, inside the transaction of its group.
import type { NewEvent, StartAnswer } from '../store.ts'
import { Accepting } from './accept.ts'
import { Admission } from './admission.ts'
import { claiming, type Claiming } from './claim.ts'
import { definitionTables, type DefinitionTables } from './definitions.ts'
import { Lanes } from './lanes.ts'
import { Moving } from './moves.ts'
import type { Db } from './open.ts'
import type { PackedEvent, WriteOp } from './protocol.ts'
import { Queues } from './queues.ts'
import { connectionFacts } from './read.ts'
import { standing, type Standing } from './standing.ts'
import { retaining, type Retaining } from './upkeep.ts'

function unpacked(event: PackedEvent, bodies: ArrayBuffer): NewEvent {
  return { ...event, body: new Uint8Array(bodies, event.body_at, event.body_length) }
}

export class Work {
  readonly #db: Db
  readonly #lanes: Lanes
  readonly #queues: Queues
  readonly #moving: Moving
  readonly #accepting: Accepting
  readonly #claiming: Claiming
  readonly #standing: Standing
  readonly #definitions: DefinitionTables
  readonly #retaining: Retaining
  readonly #ping
  readonly #waiting

  constructor(db: Db) {
    this.#db = db
    this.#lanes = new Lanes(db)
    this.#queues = new Queues(db, this.#lanes.rings, this.#lanes.due)
    this.#moving = new Moving(db, this.#lanes, this.#queues)
    this.#accepting = new Accepting(db, new Admission(db, this.#lanes, this.#queues, this.#moving))
    this.#claiming = claiming(db, this.#lanes, this.#queues)
    this.#standing = standing(db)
    this.#definitions = definitionTables(db)
    this.#retaining = retaining(db, this.#lanes)
    this.#ping = db.prepare('SELECT count(*) FROM meta').pluck()
    this.#waiting = db
      .prepare<[], string>("SELECT DISTINCT bot_id FROM outbox INDEXED BY outbox_due WHERE state = 'pending' AND ready = 1 AND parked_on IS NULL")
      .pluck()
  }

  perform(operation: WriteOp, bodies: ArrayBuffer): unknown {
    switch (operation.op) {
      case 'accept':
        return this.#accepting.accept(
          operation.events.map(event => unpacked(event, bodies)),
          operation.limits,
        )
      case 'claim':
        return this.#claiming.claim(...operation.args)
      case 'move': {
        const { outcomes, openDelta } = this.#moving.move(operation.moves)
        this.#accepting.adjustOpenRuns(openDelta)
        return outcomes
      }
      case 'replay':
        return this.#accepting.replay(...operation.args)
      case 'write': {
        const outcome = this.#definitions.write(...operation.args)
        if (operation.args[0].some(change => change.noun === 'queue')) this.#queues.reload()
        return outcome
      }
      case 'retain':
        this.#lanes.rings.prune(operation.limits.now, operation.limits.slice)
        return this.#retaining.retain(operation.limits)
      case 'set_paused':
        return this.#standing.setPaused(operation.reason)
      case 'set_bot_status':
        return this.#standing.setBotStatus(...operation.args)
      case 'queue_counts':
        return this.#queues.all()
      case 'ping':
        this.#ping.get()
        return connectionFacts(this.#db)
    }
  }

  /** After a rollback nothing that was counted or remembered holds. */
  rolledBack(): void {
    this.#accepting.rolledBack()
    this.#queues.reload()
  }

  /** The bots (and needs) whose runs may go since this was asked last. */
  due(): string[] {
    const ids = [...this.#lanes.due]
    this.#lanes.due.clear()
    return ids
  }

  start(now: number): StartAnswer {
    const putBack = (): number => {
      this.#accepting.catchUp()
      return this.#moving.recover(now)
    }
    const recovered = this.#db.transaction(putBack).immediate()
    this.#accepting.recount()
    this.#queues.reload()
    return {
      definitions: this.#definitions.load(),
      recovered,
      open_runs: this.#accepting.openRuns,
      worker_leases: this.#moving.workerLeases(),
      waiting_bots: this.#waiting.all(),
      paused: this.#standing.paused(),
      bot_status: this.#standing.botStatus(),
      next_due_at: this.#claiming.nextDueAt(now),
      facts: { ...connectionFacts(this.#db), database_bytes: 0, wal_bytes: 0 },
    }
  }
}
