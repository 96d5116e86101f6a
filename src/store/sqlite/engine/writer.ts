// The writing thread: holds the lock and the one writing connection.
//
// Commits are grouped: all batches that have arrived by the time the writer is free share one transaction and so one
// fsync. No timer holds a lone event back. Only where groups form anyway and commits are slow (a real disk: 1-10 ms an
// fsync) is there a short wait for more, at most 2 ms or a fifth of a commit: it gains 20-61 % there.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { ExitError, exitCodes } from '../../../errors.ts'
import { toThread } from '../../../exact-json.ts'
import { HighWater } from '../file/high-water.ts'
import type { Db } from '../db.ts'
import { asDamage, databasePath, openWriter, takeLock, type Opened } from '../file/open.ts'
import type { WorkerStart, WriteBatch, WriteOp, WriteResult, WriterMessage } from './protocol.ts'
import { giveBack } from '../space.ts'
import { checkpointing } from '../file/checkpoints.ts'
import { Work } from './operations.ts'

const port = parentPort!
const { stateDir, lifecycle, now, acceptLoss, toolLimits, budgets } = workerData as WorkerStart
const idleCheckpointMs = 1000
/** Between slices of free pages that an idle writer gives back. */
const idleSliceMs = 50
const idlePages = 256
const pageBytes = 4096
/** A larger group would hold everyone behind it for too long. */
const maxGroupOps = 512
const maxGroupBytes = 4 * 1024 * 1024
const gatherAtMostMs = 2
const gatherShare = 0.2
const gatherFromMs = 1
/** How long after it looked for damaged rows the writer does not look again. */
const healPauseMs = 60_000

function say(message: WriterMessage): void {
  port.postMessage(message)
}

/** After a failed write or fsync SQLite would go on as if nothing had been; what is on the disk is unknown. */
function untrustworthy(code: string | undefined): boolean {
  return code !== undefined && /^SQLITE_(IOERR|CORRUPT|NOTADB|READONLY|CANTOPEN|PROTOCOL)/.test(code)
}

function failed(error: unknown): WriteResult {
  const { code, message } = error as { code?: string; message: string }
  if (untrustworthy(code)) throw error
  if (code === 'SQLITE_FULL') return { ok: false, full: true, message: 'the disk is full' }
  return { ok: false, full: false, message: `${code ?? 'bug'}: ${message}` }
}

/** Runs work; storage that cannot be trusted ends the process, a full disk or a busy file is met again later. */
function guarded(work: () => void): void {
  try {
    work()
  } catch (error) {
    const { code = 'bug', message } = error as { code?: string; message: string }
    if (code !== 'SQLITE_FULL' && code !== 'SQLITE_BUSY') say({ kind: 'fatal', code, message })
  }
}

/** Groups of batches as transactions. */
class Groups {
  readonly #db: Db
  readonly #work: Work
  readonly #mark: HighWater
  readonly #begin
  readonly #commit
  readonly #rollback
  #healAgainAt = 0

  constructor(db: Db, work: Work, mark: HighWater) {
    this.#db = db
    this.#work = work
    this.#mark = mark
    this.#begin = db.prepare('BEGIN IMMEDIATE')
    this.#commit = db.prepare('COMMIT')
    this.#rollback = db.prepare('ROLLBACK')
  }

  /** All batches in one transaction; throws when any operation throws, and then nothing was written. */
  #together(batches: WriteBatch[]): WriteResult[][] {
    this.#begin.run()
    try {
      const groups = batches.map(({ ops, bodies }) =>
        ops.map((operation): WriteResult => ({ ok: true, value: this.#work.perform(operation, bodies) })),
      )
      this.#mark.committing()
      this.#commit.run()
      return groups
    } catch (error) {
      if (this.#db.inTransaction) this.#rollback.run()
      this.#work.rolledBack()
      throw error
    }
  }

  /**
   * The cause may be a damaged row: those of runs are buried, and an index that does not fit its table is made again.
   * Not more than once a minute, since a bug may be the reason as well.
   */
  #healed(error: unknown): void {
    const { code } = error as { code?: string }
    if (code === 'SQLITE_FULL' || code === 'SQLITE_BUSY' || Date.now() < this.#healAgainAt) return
    this.#healAgainAt = Date.now() + healPauseMs
    try {
      if (code === 'SQLITE_CORRUPT_INDEX') this.#work.reindex()
      this.#work.examine(Date.now())
    } catch (other) {
      // What each operation says then, alone, is what its caller is told.
      failed(other)
    }
  }

  #alone(operation: WriteOp, bodies: ArrayBuffer): WriteResult {
    try {
      return this.#together([{ ops: [operation], bodies }])[0]![0]!
    } catch (error) {
      return failed(error)
    }
  }

  /** One that cannot be done must not take the others of its group with it: then each goes alone. */
  write(batches: WriteBatch[]): WriteResult[][] {
    try {
      return this.#together(batches)
    } catch (error) {
      if ((error as { code?: string }).code !== 'SQLITE_CORRUPT_INDEX') failed(error)
      this.#healed(error)
      return batches.map(({ ops, bodies }) => ops.map(operation => this.#alone(operation, bodies)))
    }
  }
}

/** The batch that woke us and those that came while the last group was written. */
function gathered(first: WriteBatch): { batches: WriteBatch[]; closing: boolean } {
  const batches = [first]
  let ops = first.ops.length
  let bytes = first.bodies.byteLength
  while (ops < maxGroupOps && bytes < maxGroupBytes) {
    const received = receiveMessageOnPort(port)
    if (received === undefined) break
    if (received.message === 'close') return { batches, closing: true }
    batches.push(received.message)
    ops += received.message.ops.length
    bytes += received.message.bodies.byteLength
  }
  return { batches, closing: false }
}

/** About what an operation writes to the write-ahead log, its bodies apart. */
function logBytes(operation: WriteOp): number {
  return operation.op === 'give_back' ? operation.request.pages * pageBytes : 8192
}

function wantsCheckpoint(operation: WriteOp): boolean {
  return operation.op === 'give_back' && operation.request.checkpoint
}

function serve({ db, loss, damage }: Opened, lock: Db): void {
  const work = new Work(db, lifecycle, toolLimits, budgets)
  const checkpoint = checkpointing(db)
  const answer = work.start(now)
  const started = { ...answer, damage: [...damage, ...answer.damage], loss }
  const mark = new HighWater(db, stateDir)
  const groups = new Groups(db, work, mark)
  const nothing = new Int32Array(new SharedArrayBuffer(4))
  let idleTimer: NodeJS.Timeout | undefined
  let commitMs = 0
  let lastBatches = 0
  let wroteAt = 0
  const giveBackIdle = db.transaction(() => giveBack(db, { pages: idlePages, keep_share: 0 }))

  function write(batches: WriteBatch[]): void {
    const begun = performance.now()
    const results = groups.write(batches)
    mark.committed()
    say({ kind: 'results', groups: results, ...work.told() })
    commitMs += (performance.now() - begun - commitMs) * 0.2
    lastBatches = batches.length
    wroteAt = performance.now()
    checkpoint.wrote(
      batches.reduce(
        (sum, { ops, bodies }) =>
          sum + bodies.byteLength * 1.2 + ops.reduce((own, operation) => own + logBytes(operation), 0),
        0,
      ),
      batches.some(({ ops }) => ops.some(wantsCheckpoint)),
    )
    idleTimer ??= setTimeout(idle, idleCheckpointMs).unref()
  }

  /** What has time: checkpoints, and once nothing has come for a while, free pages that go back to the disk. */
  function idle(): void {
    idleTimer = undefined
    let again = performance.now() - wroteAt < idleCheckpointMs ? idleCheckpointMs : 0
    guarded(() => {
      checkpoint.idle()
      if (again > 0) return
      const { pages, more } = giveBackIdle.immediate()
      if (pages > 0) checkpoint.wrote(pages * pageBytes, true)
      if (more) again = idleSliceMs
    })
    if (again > 0) idleTimer = setTimeout(idle, again).unref()
  }

  function close(): void {
    clearTimeout(idleTimer)
    guarded(() => db.pragma('wal_checkpoint(TRUNCATE)'))
    db.close()
    mark.close()
    lock.close()
    port.close()
  }

  say({ kind: 'started', answer: { ...started, definitions: toThread(started.definitions) } })
  idleTimer = setTimeout(idle, idleCheckpointMs).unref()
  port.on('message', (batch: WriteBatch | 'close') => {
    if (batch === 'close') return close()
    if (lastBatches > 1 && commitMs > gatherFromMs)
      Atomics.wait(nothing, 0, 0, Math.min(gatherAtMostMs, gatherShare * commitMs))
    const { batches, closing } = gathered(batch)
    guarded(() => write(batches))
    if (closing) close()
    return undefined
  })
}

let lock: Db | undefined
let opened: Opened | undefined
try {
  lock = takeLock(stateDir)
  opened = openWriter(stateDir, acceptLoss)
  serve(opened, lock)
} catch (thrown) {
  const error = asDamage(thrown, databasePath(stateDir))
  // Closed by this thread itself: SQLite must not be in use while the thread is torn down.
  for (const db of [opened?.db, lock]) db?.close()
  const exitCode = error instanceof ExitError ? error.exitCode : exitCodes.ioError
  say({ kind: 'refused', exitCode, message: (error as Error).message })
  port.close()
}
