// The reading thread: one read-only connection, one question at a time.
import { DamagedError, damagedCode } from '../../../errors.ts'
import { parentPort, workerData } from 'node:worker_threads'
import { auditReading } from '../tables/audit.ts'
import { DamageLog } from '../tables/damage.ts'
import { toThread } from '../../../exact-json.ts'
import { definitionTables } from '../tables/definitions.ts'
import type { AuditPage, OutputRequest, TickPage } from '../../store.ts'
import { openReader } from '../file/open.ts'
import type { ReadAnswer, ReadRequest, WorkerStart } from './protocol.ts'
import { OutputReader } from '../tables/output-reader.ts'
import { Reading } from './read.ts'
import { Sources } from '../tables/sources.ts'

const port = parentPort!
const db = openReader((workerData as WorkerStart).stateDir)
const sources = new Sources(db)
const damage = new DamageLog()
const definitions = definitionTables(db, sources, damage)
const reading = new Reading(db, damage)
const output = new OutputReader(db, damage)
const auditEntries = auditReading(db, damage)

function read({ method, args }: ReadRequest): unknown {
  if (method === 'triggerVersion') return toThread(definitions.triggerVersion(...(args as [string, number])))
  if (method === 'triggerVersions')
    return toThread(definitions.triggerVersions(...(args as [string, number | null, number, number?])))
  if (method === 'fileSets') return definitions.fileSets()
  if (method === 'auditEntries') return auditEntries(...(args as [AuditPage]))
  if (method === 'output') return output.page(...(args as [OutputRequest]))
  if (method === 'ticks') return sources.ticks(...(args as [TickPage]))
  if (method === 'unseen') return sources.unseen(...(args as [string, string[]]))
  return (reading[method] as (...given: unknown[]) => unknown).call(reading, ...args)
}

function answered(request: ReadRequest): ReadAnswer {
  const { call } = request
  try {
    const value = read(request)
    return { call, ok: true, value, damage: damage.take() }
  } catch (error) {
    const { code = 'bug', message } = (
      error instanceof DamagedError ? { code: damagedCode, message: error.what } : error
    ) as { code?: string; message: string }
    return { call, ok: false, code, message, damage: damage.take() }
  }
}

port.on('message', (request: ReadRequest | 'close') => {
  if (request !== 'close') return port.postMessage(answered(request))
  db.close()
  return port.close()
})
