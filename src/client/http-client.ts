// The client over HTTP, for the admin listener: the same methods, one request for each call. A connection is kept open between calls.
import { readFileSync } from 'node:fs'
import {
  Agent as HttpAgent,
  request as requestHttp,
  type ClientRequest,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import {
  ConnectionError,
  readExactNumbers,
  RpcError,
  type CallOptions,
  type Methods,
  type ReadJson,
} from './client.ts'

export interface HttpOptions {
  /** of the admin listener, such as https://signalbox.example.org */
  url: string
  /** a file with the token; it is read at every call, so that a new token works without a restart */
  token_file: string
}

/** Longer than the router lets a call wait. */
const answerMs = 60_000

/** Codes of answers that are not JSON-RPC because the request as a whole was refused. */
const refusals: Record<number, number> = { 401: -32001, 403: -32015, 413: -32004, 429: -32005 }

interface Answer {
  status: number
  text: string
}

function read(response: IncomingMessage): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const chunks: Buffer[] = []
  response.on('data', (chunk: Buffer) => chunks.push(chunk))
  response.on('end', () =>
    resolve({ status: response.statusCode!, text: Buffer.concat(chunks).toString('utf8') }),
  )
  response.on('error', reject)
  return promise
}

export class SignalboxHttpClient {
  readonly #url: URL
  readonly #tokenFile: string
  readonly #readJson: ReadJson
  readonly #agent: HttpAgent
  #next = 1

  /** Throws TypeError for a URL that is not valid or not HTTP, and Error for a token file that cannot be read. */
  constructor(
    { url, token_file }: HttpOptions,
    { read: readJson = readExactNumbers }: { read?: ReadJson } = {},
  ) {
    this.#url = new URL('rpc', url.endsWith('/') ? url : `${url}/`)
    if (!/^https?:$/.test(this.#url.protocol))
      throw new TypeError(
        `the URL of a router must begin with http:// or https://; got ${JSON.stringify(url)}`,
      )
    this.#tokenFile = token_file
    // A wrong path is a mistake to report; later, the file may be in the middle of being replaced.
    readFileSync(token_file)
    this.#readJson = readJson
    this.#agent =
      this.#url.protocol === 'https:'
        ? new HttpsAgent({ keepAlive: true })
        : new HttpAgent({ keepAlive: true })
  }

  /**
   * Calls a method. Throws RpcError for an error that the router answered, and ConnectionError if there was no answer of the router or
   * the token file cannot be read. Aborting the signal closes the connection of the call, which then throws ConnectionError.
   */
  async call<M extends keyof Methods>(
    method: M,
    params: Methods[M]['params'],
    { signal }: CallOptions = {},
  ): Promise<Methods[M]['result']> {
    const { status, text } = await this.#post(
      JSON.stringify({ jsonrpc: '2.0', id: this.#next++, method, params }),
      signal,
    )
    const answer = this.#parsed(text) as Record<string, unknown> | undefined
    if (answer?.jsonrpc === '2.0') {
      if (answer.error === undefined) return answer.result as Methods[M]['result']
      const { code, message, data } = answer.error as {
        code: number
        message: string
        data?: Record<string, unknown>
      }
      throw new RpcError(code, message, data)
    }
    const code = refusals[status]
    if (code !== undefined && typeof answer?.detail === 'string')
      throw new RpcError(code, answer.detail, { code: answer.code })
    throw new ConnectionError(`${this.#url.origin} answered HTTP ${status}, and not as a router does`)
  }

  close(): void {
    this.#agent.destroy()
  }

  #parsed(text: string): unknown {
    try {
      return this.#readJson(text)
    } catch {
      return undefined
    }
  }

  #token(): string {
    try {
      return readFileSync(this.#tokenFile, 'utf8').trim()
    } catch (error) {
      throw new ConnectionError(
        `the token file ${this.#tokenFile} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      )
    }
  }

  async #post(body: string, signal: AbortSignal | undefined): Promise<Answer> {
    const headers = {
      authorization: `Bearer ${this.#token()}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    }
    const options = {
      method: 'POST',
      headers,
      agent: this.#agent,
      timeout: answerMs,
      ...(signal === undefined ? {} : { signal }),
    }
    const asking: ClientRequest =
      this.#url.protocol === 'https:' ? requestHttps(this.#url, options) : requestHttp(this.#url, options)
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    asking.on('response', resolve)
    asking.on('error', reject)
    asking.on('timeout', () => asking.destroy(new Error('no answer in time')))
    asking.end(body)
    try {
      return await read(await promise)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      throw new ConnectionError(`no answer from the router at ${this.#url.origin} (${code ?? message})`)
    }
  }
}
