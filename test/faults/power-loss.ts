// Power loss, played after the fact: what a disk may hold when the power goes at some point of a trace. What was synced is
// there; of what was written since, some sectors are and some are not. A file that was removed may be back until its
// directory is synced: a rollback journal that comes back undoes what was committed after it. One that got another name has
// either until then.
import { basename } from 'node:path'
import type { Operation } from './trace.ts'

const sectorBytes = 512

/** Chance from a seed (mulberry32): the same seed, the same states. */
export function chance(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Which unsynced sectors a state keeps: a share of them, or, torn, the first ones up to a point. */
export type Kept = 'none' | 'all' | 'half' | 'most' | 'torn'
export const everyKept: readonly Kept[] = ['none', 'all', 'half', 'most', 'torn']

type Change =
  | { kind: 'write'; at: number; bytes: Buffer }
  | { kind: 'truncate'; size: number }
  | { kind: 'unlink' }

interface File {
  /** as it was last synced; null: it was not there */
  durable: Buffer | null
  /** since then, in order; writes a sector each */
  pending: Change[]
  /** the name that it had when the directory was last synced, where it had another */
  was?: string
}

/** A write as its sectors. */
function* sectors(at: number, bytes: Buffer): Generator<Change> {
  for (let from = 0; from < bytes.length;) {
    const end = Math.min(bytes.length, from + sectorBytes - ((at + from) % sectorBytes))
    yield { kind: 'write', at: at + from, bytes: bytes.subarray(from, end) }
    from = end
  }
}

/** A file with changes made to it, in order; what was is not touched. */
function applied(durable: Buffer | null, changes: readonly Change[]): Buffer | null {
  if (changes.length === 0) return durable
  const most = changes.reduce(
    (end, change) => Math.max(end, change.kind === 'write' ? change.at + change.bytes.length : 0),
    durable?.length ?? 0,
  )
  const content = Buffer.alloc(most)
  durable?.copy(content)
  let length = durable?.length ?? 0
  let there = durable !== null
  for (const change of changes) {
    if (change.kind === 'write') {
      change.bytes.copy(content, change.at)
      length = Math.max(length, change.at + change.bytes.length)
      there = true
    } else {
      const size = change.kind === 'truncate' ? change.size : 0
      content.fill(0, Math.min(size, most))
      length = Math.min(size, most)
      there = change.kind === 'truncate'
    }
  }
  return there ? content.subarray(0, length) : null
}

/** A disk that follows a trace. honest: false, and no sync counts, as under a device that lies. */
export class Disk {
  readonly #files = new Map<string, File>()
  readonly #honest: boolean

  constructor(honest = true) {
    this.#honest = honest
  }

  #file(path: string): File {
    const name = basename(path)
    const known = this.#files.get(name)
    if (known !== undefined) return known
    const made: File = { durable: null, pending: [] }
    this.#files.set(name, made)
    return made
  }

  follow(operation: Operation): void {
    if (operation.kind === 'answer' || operation.kind === 'failure') return
    if (operation.kind === 'directory_sync') return this.#syncDirectory()
    if (operation.kind === 'rename') return this.#rename(basename(operation.path), basename(operation.to))
    const file = this.#file(operation.path)
    if (operation.kind === 'write') file.pending.push(...sectors(operation.at, operation.bytes))
    else if (operation.kind === 'truncate') file.pending.push({ kind: 'truncate', size: operation.size })
    else if (operation.kind === 'unlink') file.pending.push({ kind: 'unlink' })
    else if (operation.kind === 'sync' && this.#honest) {
      file.durable = applied(file.durable, file.pending)
      file.pending = []
    }
  }

  #rename(from: string, to: string): void {
    const file = this.#file(from)
    this.#files.delete(from)
    this.#files.set(to, file)
    file.was ??= from
  }

  #syncDirectory(): void {
    if (!this.#honest) return
    for (const file of this.#files.values()) {
      delete file.was
      const removed = file.pending.findLastIndex(change => change.kind === 'unlink')
      if (removed < 0) continue
      file.durable = null
      file.pending.splice(0, removed + 1)
    }
  }

  /** What each file may hold if the power goes now; null: it is not there. */
  afterLoss(kept: Kept, random: () => number): Map<string, Buffer | null> {
    const share = { none: 0, all: 1, half: 0.5, most: 0.9, torn: 1 }[kept]
    const total = [...this.#files.values()].reduce((sum, file) => sum + file.pending.length, 0)
    let left = kept === 'torn' ? Math.floor(random() * (total + 1)) : Infinity
    return new Map(
      [...this.#files].map(([name, { durable, pending, was }]) => {
        const chosen = pending.filter(() => left-- > 0 && random() < share)
        return [was === undefined || random() < share ? name : was, applied(durable, chosen)]
      }),
    )
  }
}
