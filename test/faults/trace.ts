// What the shim recorded: every write, truncation, sync, renaming and removal, and every answer that told of an event, in one order.
import { readFileSync } from 'node:fs'

export type Operation =
  | { kind: 'open'; path: string }
  | { kind: 'write'; path: string; at: number; bytes: Buffer }
  | { kind: 'truncate'; path: string; size: number }
  | { kind: 'sync'; path: string }
  /** the directory: what was removed stays removed */
  | { kind: 'directory_sync' }
  /** an operation that was made to fail: W, S, T, or D for the sync of the directory */
  | { kind: 'failure'; of: string }
  | { kind: 'unlink'; path: string }
  | { kind: 'rename'; path: string; to: string }
  /** ids of the events that were answered */
  | { kind: 'answer'; event_ids: string[] }

const headBytes = 24
const answered = /"event_id":"([0-9a-f-]{36})"/g

/** Reads a trace; one that breaks off in a record is read up to there. Each process that appends numbers its files anew. */
export function readTrace(trace: string): Operation[] {
  const bytes = readFileSync(trace)
  const operations: Operation[] = []
  const paths = new Map<number, string>()
  for (let at = 0; at + headBytes <= bytes.length;) {
    const kind = String.fromCharCode(bytes[at]!)
    const file = bytes.readUInt32LE(at + 4)
    const offset = Number(bytes.readBigUInt64LE(at + 8))
    const end = at + headBytes + bytes.readUInt32LE(at + 16)
    if (end > bytes.length) break
    const data = bytes.subarray(at + headBytes, end)
    at = end
    const path = paths.get(file) ?? ''
    if (kind === 'O') {
      paths.set(file, data.toString())
      operations.push({ kind: 'open', path: data.toString() })
    } else if (kind === 'R') {
      paths.set(file, data.toString())
      operations.push({ kind: 'rename', path, to: data.toString() })
    } else if (kind === 'W') operations.push({ kind: 'write', path, at: offset, bytes: data })
    else if (kind === 'T') operations.push({ kind: 'truncate', path, size: offset })
    else if (kind === 'S') operations.push({ kind: 'sync', path })
    else if (kind === 'D') operations.push({ kind: 'directory_sync' })
    else if (kind === 'E') operations.push({ kind: 'failure', of: data.toString() })
    else if (kind === 'U') operations.push({ kind: 'unlink', path })
    else if (kind === 'A')
      operations.push({
        kind: 'answer',
        event_ids: [...data.toString('latin1').matchAll(answered)].map(match => match[1]!),
      })
    else throw new Error(`a record of kind ${JSON.stringify(kind)} at ${at}`)
  }
  return operations
}
