// The reading thread: one read-only connection, one question at a time.
import { parentPort, workerData } from 'node:worker_threads'
import { definitionTables } from './definitions.ts'
import { openReader } from './open.ts'
import type { ReadAnswer, ReadRequest, WorkerStart } from './protocol.ts'
import { reading } from './read.ts'

const port = parentPort!
const db = openReader((workerData as WorkerStart).stateDir)
const definitions = definitionTables(db)
const methods: Record<ReadRequest['method'], (...args: never[]) => unknown> = { ...reading(db), triggerVersion: definitions.triggerVersion }

function answered({ call, method, args }: ReadRequest): ReadAnswer {
  try {
    return { call, ok: true, value: methods[method](...(args as never[])) }
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
