// Free space, looked at every second: intake ends before the disk is full, because a full disk cannot even be tidied.
import { statfs } from 'node:fs/promises'
import { usualReserve } from '../machine.ts'

const intervalMs = 1000

export interface DiskState {
  free_bytes: number
  reserve_bytes: number
  full: boolean
}

export class DiskWatch {
  readonly #path: string
  readonly #reserve: number | undefined
  #timer: NodeJS.Timeout | undefined
  state: DiskState = { free_bytes: 0, reserve_bytes: 0, full: false }

  constructor(path: string, reserveBytes: number | undefined) {
    this.#path = path
    this.#reserve = reserveBytes
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
    const { bavail, blocks, bsize } = await statfs(this.#path)
    const free_bytes = bavail * bsize
    const reserve_bytes = Math.round(this.#reserve ?? usualReserve(blocks * bsize))
    // Once full, it opens again only at twice the reserve: so that it does not flicker.
    const full = free_bytes < (this.state.full ? 2 * reserve_bytes : reserve_bytes)
    this.state = { free_bytes, reserve_bytes, full }
  }
}
