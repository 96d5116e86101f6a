// The reading thread: one read-only connection, one question at a time.
import { parentPort, workerData } from 'node:worker_threads'
import { definitionTables } from './definitions.ts'
import type { TickPage } from '../store.ts'
import { openReader } from './open.ts'
import type { ReadAnswer, ReadRequest, WorkerStart } from './protocol.ts'
import { Reading } from './read.ts'
import { Sources } from './sources.ts'

const port = parentPort!
const db = openReader((workerData as WorkerStart).stateDir)
const sources = new Sources(db)
const definitions = definitionTables(db, sources)
const reading = new Reading(db)

function read({ method, args }: ReadRequest): unknown {
  if (method === 'triggerVersion') return definitions.triggerVersion(...(args as [string, number]))
  if (method === 'triggerVersions') return definitions.triggerVersions(...(args as [string, number | null, number]))
  if (method === 'fileSets') return definitions.fileSets()
  if (method === 'ticks') return sources.ticks(...(args as [TickPage]))
  if (method === 'unseen') return sources.unseen(...(args as [string, string[]]))
  return (reading[method] as (...given: unknown[]) => unknown).call(reading, ...args)
}

function answered(request: ReadRequest): ReadAnswer {
  const { call } = request
  try {
    return { call, ok: true, value: read(request) }
  } catch (error) {
    const { code = 'bug', message } = error as { code?: string; message: string }
    return { call, ok: false, code, message }
  }
}

port.on('message', (request: ReadRequest | 'close') => {
  if (request !== 'close') return port.postMessage(answered(request))
  db.close()
  return port.close()
})
