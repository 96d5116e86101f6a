// Room for events, looked at every second: intake ends before the disk is full, because a full disk cannot even be tidied.
//
// States: open -> full -> open. Room is what the disk has free and what the database would use before it grows. Intake ends below
// the reserve and resumes well above it, so that it does not flicker; how far above depends on what can become free at all.
import { statfs } from 'node:fs/promises'
import { usualReserve } from '../machine.ts'
import type { Space } from '../store/store.ts'

const intervalMs = 1000
/** What the write-ahead log may need on the disk itself, however many pages the database has free: twice its cap. */
const logBytes = 2 * 16_777_216

export interface DiskState {
  free_bytes: number
  reserve_bytes: number
  /** free on the disk, and free in the database */
  room_bytes: number
  /** the room at which intake resumes once it has ended */
  resume_bytes: number
  /** so little is free that space should be given back at once */
  low: boolean
  full: boolean
}

const noSpace: Space = { database_bytes: 0, wal_bytes: 0, reusable_bytes: 0, gives_back: true }

/** Whether intake is open, from what the disk has free, the reserve that is kept, and what the database takes up. */
export function diskState(
  free_bytes: number,
  reserve_bytes: number,
  space: Space,
  wasFull: boolean,
): DiskState {
  const room_bytes = free_bytes + space.reusable_bytes
  // All that can become free without touching what others keep on the disk; more than half way there is not waited for.
  const reachable = free_bytes + space.database_bytes + space.wal_bytes
  const resume_bytes =
    reserve_bytes + Math.min(reserve_bytes, Math.max(0, Math.floor((reachable - reserve_bytes) / 2)))
  const floor = Math.min(reserve_bytes / 2, logBytes)
  const full = wasFull
    ? room_bytes < resume_bytes || free_bytes < (space.gives_back ? 2 * floor : floor)
    : room_bytes < reserve_bytes || free_bytes < floor
  return { free_bytes, reserve_bytes, room_bytes, resume_bytes, low: free_bytes < 2 * reserve_bytes, full }
}

export interface DiskWatchOptions {
  path: string
  /** bytes that stay free; undefined: a share of the disk */
  reserve: number | undefined
  space: () => Promise<Space>
}

export class DiskWatch {
  /** Told at every look while little is free. */
  onLow: () => void = () => undefined
  readonly #options: DiskWatchOptions
  #timer: NodeJS.Timeout | undefined
  state: DiskState = diskState(0, 0, noSpace, false)

  constructor(options: DiskWatchOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    await this.#look()
    this.#timer ??= setInterval(() => void this.#look().catch(() => undefined), intervalMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #look(): Promise<void> {
    const { path, reserve, space } = this.#options
    const { bavail, blocks, bsize } = await statfs(path)
    const free = bavail * bsize
    const reserved = Math.round(reserve ?? usualReserve(blocks * bsize))
    // The database is asked only where its answer matters.
    const taken = free < 2 * reserved ? await space().catch(() => noSpace) : noSpace
    this.state = diskState(free, reserved, taken, this.state.full)
    if (this.state.low) this.onLow()
  }
}
