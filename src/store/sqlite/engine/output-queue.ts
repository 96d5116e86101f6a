// Output on its way to the writer: one slice at a time, so that a group commit, and every event in it, waits for 1 MiB of output at
// the most, whatever commands print. Calls that wait meanwhile share the next slice.
import type { OutputLimits, OutputPart } from '../../store.ts'
import { mostPartBytes } from '../../store.ts'

const sliceBytes = 1_048_576
/** Short parts cost their rows. */
const sliceParts = 1024

interface Call {
  parts: OutputPart[]
  limits: OutputLimits
  resolve: () => void
  reject: (error: Error) => void
}

export class OutputQueue {
  readonly #write: (parts: OutputPart[], limits: OutputLimits) => Promise<void>
  #calls: Call[] = []
  #isBusy = false

  constructor(write: (parts: OutputPart[], limits: OutputLimits) => Promise<void>) {
    this.#write = write
  }

  append(parts: OutputPart[], limits: OutputLimits): Promise<void> {
    const tooLong = parts.find(part => part.content.byteLength > mostPartBytes)
    if (tooLong !== undefined)
      throw new RangeError(
        `a part of output has at most ${mostPartBytes} bytes; got ${tooLong.content.byteLength}`,
      )
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#calls.push({ parts: [...parts], limits, resolve, reject })
    if (!this.#isBusy) void this.#serve()
    return promise
  }

  async #serve(): Promise<void> {
    this.#isBusy = true
    while (this.#calls.length > 0) {
      const { parts, sharing, limits } = this.#slice()
      try {
        if (parts.length > 0) await this.#write(parts, limits)
        for (const call of sharing) if (call.parts.length === 0) call.resolve()
      } catch (error) {
        for (const call of sharing) {
          call.parts = []
          call.reject(error as Error)
        }
      }
      this.#calls = this.#calls.filter(call => call.parts.length > 0 || !sharing.includes(call))
    }
    this.#isBusy = false
  }

  /** Takes the parts of the next slice, and says whose they are. */
  #slice(): { parts: OutputPart[]; sharing: Call[]; limits: OutputLimits } {
    const { limits } = this.#calls[0]!
    const sharing: Call[] = []
    const parts: OutputPart[] = []
    let bytes = 0
    for (const call of this.#calls) {
      if (
        call.limits.output_bytes !== limits.output_bytes ||
        call.limits.output_total_bytes !== limits.output_total_bytes
      )
        break
      let count = 0
      while (count < call.parts.length && parts.length < sliceParts) {
        const part = call.parts[count]!
        if (parts.length > 0 && bytes + part.content.byteLength > sliceBytes) break
        bytes += part.content.byteLength
        parts.push(part)
        count++
      }
      call.parts.splice(0, count)
      sharing.push(call)
      if (call.parts.length > 0) break
    }
    return { parts, sharing, limits }
  }
}
