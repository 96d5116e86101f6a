// A reader of server-sent events over HTTP.
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import { onTestFinished } from 'vitest'

export interface Sent {
  id?: string
  event?: string
  data?: unknown
  comment?: string
}

export class SseReader {
  readonly sent: Sent[] = []
  readonly #request: ClientRequest
  #response: IncomingMessage | undefined
  #rest = ''
  #wake = Promise.withResolvers<void>()
  closed = false

  constructor(address: string, query: string, headers: Record<string, string>) {
    const { hostname, port } = new URL(address)
    this.#request = request({ host: hostname, port, path: `/stream${query}`, headers })
    this.#request.on('error', () => this.#end())
    onTestFinished(() => this.close())
  }

  /** Connects. Answers the status, and the body of what is no stream. */
  open(): Promise<{ status: number; body?: Record<string, unknown>; headers: IncomingMessage['headers'] }> {
    const { promise, resolve, reject } = Promise.withResolvers<{
      status: number
      body?: Record<string, unknown>
      headers: IncomingMessage['headers']
    }>()
    this.#request.once('error', reject)
    this.#request.once('response', response => {
      this.#response = response
      const { statusCode: status, headers } = response
      response.setEncoding('utf8')
      response.on('close', () => this.#end())
      response.on('error', () => this.#end())
      if (status === 200) {
        response.on('data', (text: string) => this.#take(text))
        return resolve({ status, headers })
      }
      let text = ''
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: status!, body: JSON.parse(text), headers }))
      return undefined
    })
    this.#request.end()
    return promise
  }

  #take(text: string): void {
    const blocks = (this.#rest + text).split('\n\n')
    this.#rest = blocks.pop()!
    for (const block of blocks) {
      const sent: Sent = {}
      for (const line of block.split('\n')) {
        const [, name, value] = /^(\w*): ?(.*)$/.exec(line) ?? []
        if (name === 'data') sent.data = JSON.parse(value!)
        else if (name === 'id') sent.id = value!
        else if (name === 'event') sent.event = value!
        else if (name === '') sent.comment = value!
      }
      this.sent.push(sent)
    }
    this.#woken()
  }

  #end(): void {
    this.closed = true
    this.#woken()
  }

  #woken(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }

  /** Resolves once something is true of what was sent, or of the connection. */
  async until(isTrue: (sent: readonly Sent[]) => boolean): Promise<void> {
    while (!isTrue(this.sent)) await this.#wake.promise
  }

  of<T = unknown>(event: string): T[] {
    return this.sent.filter(each => each.event === event).map(each => each.data as T)
  }

  get last(): string {
    return this.sent.findLast(each => each.id !== undefined)!.id!
  }

  pause(): void {
    this.#response!.pause()
  }

  resume(): void {
    this.#response!.resume()
  }

  close(): void {
    this.#request.destroy()
  }
}
