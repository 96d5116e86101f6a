// The element that shows what an attempt prints. Text is only added, so a selection in it stays.
import type { OutputPart } from '../../contract/types.ts'
import { utc } from '../session.ts'
import { clock } from '../text.ts'
import { plainOutput } from './plain-output.ts'

/** Characters that are kept in the page; what came first goes. */
const mostKept = 1_048_576
function textOf({ text, base64 }: OutputPart): string {
  if (text !== undefined) return text
  return new TextDecoder().decode(Uint8Array.from(atob(base64 ?? ''), character => character.charCodeAt(0)))
}

export class OutputPane {
  readonly #element: HTMLElement
  #last: { stream: string; second: number; text: Text; endsInLine: boolean } | undefined
  #kept = 0
  /** characters that were shown and are not any more */
  dropped = 0

  constructor(element: HTMLElement) {
    this.#element = element
  }

  clear(): void {
    this.#element.replaceChildren()
    this.#last = undefined
    this.#kept = this.dropped = 0
  }

  /** A line of the page itself. */
  note(text: string): void {
    const line = document.createElement('div')
    line.className = 'out-note'
    line.textContent = text
    this.#element.append(line)
    this.#last = undefined
  }

  append(parts: readonly OutputPart[]): void {
    for (const part of parts) this.#add(part)
    while (this.#kept > mostKept && this.#element.firstElementChild !== this.#element.lastElementChild) {
      const first = this.#element.firstElementChild!
      const length = first.querySelector('.out-text')?.textContent.length ?? 0
      this.#kept -= length
      this.dropped += length
      first.remove()
    }
  }

  #add(part: OutputPart): void {
    const text = plainOutput(textOf(part))
    const second = Math.floor(part.at / 1000)
    this.#kept += text.length
    const last = this.#last
    if (last?.stream === part.stream && (last.second === second || last.endsInLine)) {
      last.text.appendData(text)
      last.endsInLine = part.split === true
      return
    }
    const block = document.createElement('div')
    block.className = `out out-${part.stream}`
    const time = document.createElement('span')
    time.className = 'out-time'
    time.textContent = clock(part.at, Date.now(), utc.peek())
    const body = document.createElement('span')
    body.className = 'out-text'
    const content = document.createTextNode(text)
    body.append(content)
    if (part.stream !== 'stdout') block.append(time, this.#stream(part.stream), body)
    else block.append(time, body)
    this.#element.append(block)
    this.#last = { stream: part.stream, second, text: content, endsInLine: part.split === true }
  }

  #stream(name: string): HTMLElement {
    const mark = document.createElement('span')
    mark.className = 'out-stream'
    mark.textContent = name
    return mark
  }
}
