// JSON-RPC 2.0 to the letter: what one message says and what is answered. json-rpc-2.0 finds and calls the methods; the
// envelope is checked before it gets there, because it takes params, ids and batches that the specification does not.
import {
  createJSONRPCErrorResponse,
  JSONRPCServer,
  type JSONRPCParams,
  type JSONRPCRequest,
  type JSONRPCResponse,
} from 'json-rpc-2.0'
import { isUtf8 } from 'node:buffer'
import type { Methods } from '../contract/types.ts'
import type { MethodContract } from '../contract/validators.ts'
import { asFault, errorTable, Fault } from '../errors.ts'
import { bothJson } from '../exact-json.ts'
import { exceededLimit, valueText, type JsonLimits } from '../json-text.ts'
import { rest, Slots } from '../turns.ts'
import { idsOf, isRecorded, type Audit } from './audit.ts'
import type { Caller, Running, Stream } from './caller.ts'
import type { Principal } from './principal.ts'
import { errorResponse, isId, envelopeFault, createdIn, completed, byName } from './envelope.ts'

/** Calls of one batch. */
export const maxBatchCalls = 50
/** Answers of one batch together. What only reads is not read any more once there are so many bytes; 50 times event.get would be 120 MB. */
const maxBatchAnswerBytes = 8 * 1024 * 1024
/** What changes nothing: it can be asked again, alone, without harm. Of a batch, one is read after the other. */
const reading: ReadonlySet<string> = new Set<keyof Methods>([
  'event.get',
  'event.query',
  'event.explain',
  'source.get',
  'source.list',
  'source.preview',
  'source.ticks',
  'trigger.get',
  'trigger.list',
  'trigger.test',
  'trigger.versions',
  'bot.get',
  'bot.list',
  'queue.get',
  'queue.list',
  'run.get',
  'run.list',
  'run.history',
  'run.preview',
  'run.request',
  'run.output',
  'router.status',
  'router.stats',
  'router.export',
  'token.list',
  'audit.list',
  'rpc.discover',
  'rpc.health',
])

/** What a handler knows of its call besides its params. */
export interface Call {
  principal: Principal
  /** The JSON text of a param, as the caller wrote it; undefined when it is not there. */
  text(param: string, ...path: (string | number)[]): Uint8Array | undefined
  /**
   * Aborted when the caller cancels the call or goes away; with needs_writing also when he writes no more, because he
   * could do nothing with the answer.
   */
  signal(needs_writing?: boolean): AbortSignal
  /** Reports progress to the caller, where the connection can carry that: on request, or to see whether the caller is still there. */
  progress(progress: Record<string, unknown>, wanted: boolean): void
  /** The connection as one that is kept; undefined where it carries one answer only. */
  stream(): Stream | undefined
  /** The answer hands something out: undo is called if it cannot be sent any more. */
  handsOut(undo: () => Promise<void>): void
  /** Cancels another call of the same connection; answers whether there is one. */
  cancel(id: string | number): boolean
}

/** One handler for every method of the contract: one that is missing does not compile. */
export type Handlers = {
  [M in keyof Methods]: (params: Methods[M]['params'], call: Call) => Promise<Methods[M]['result']>
}

/** Where in a message a request stands. */
interface Place {
  text: Buffer
  path: (string | number)[]
}

interface ServerCall extends Place {
  /** the request with numbers that keep their digits */
  exact: unknown
  caller: Caller
  running: Running
}

const unreadMessage =
  'answers on this socket that are not read hold as many bytes as they may (a quarter of max_inflight_body_bytes), some of them of this connection; read them, then ask again'

/** What an answer is taken to have before it is known. */
const leastAnswer = 16_384
/** Methods that only read: a refusal in place of their answer loses nothing. */
const repeatable =
  /\.(get|list|query|history|output|versions|explain|export|status|stats|ticks|test|backtest|preview|request)$/

/**
 * Calls whose answers are large and made at once. Those that wait hold nothing: 640 times event.get of 1 MiB that were read together
 * took up to 700 MiB where the event loop was busy.
 */
const large: ReadonlySet<string> = new Set<keyof Methods>([
  'event.get',
  'run.list',
  'run.output',
  'run.preview',
  'run.request',
  'trigger.versions',
])
const largeAtOnce = 4

/** What such an answer is taken to have before it is known: a page of a list ends there, most events are smaller. */
const largeAnswer = 1_048_576

export interface JsonrpcOptions {
  contract: ReadonlyMap<string, MethodContract>
  handlers: Handlers
  limits: JsonLimits
  audit: Pick<Audit, 'done' | 'failed'>
  logBug: (error: unknown) => void
}

export class Jsonrpc {
  readonly #server: JSONRPCServer<ServerCall>
  readonly #limits: JsonLimits
  readonly #contract: JsonrpcOptions['contract']
  readonly #large = new Slots(largeAtOnce)
  readonly #audit: JsonrpcOptions['audit']
  readonly #logBug: JsonrpcOptions['logBug']

  constructor({ contract, handlers, limits, audit, logBug }: JsonrpcOptions) {
    this.#audit = audit
    this.#logBug = logBug
    this.#limits = limits
    this.#contract = contract
    this.#server = new JSONRPCServer<ServerCall>({ errorListener: () => undefined })
    this.#server.mapErrorToJSONRPCErrorResponse = (id, error: unknown) => {
      if (error instanceof Fault) {
        const { code, message, reason, data } = error
        return createJSONRPCErrorResponse(id, code, message, { code: reason, ...data })
      }
      logBug(error)
      return createJSONRPCErrorResponse(id, errorTable.internal.code, asFault(error).message)
    }
    for (const method of contract.values()) this.#add(method, handlers)
  }

  #add(method: MethodContract, handlers: Handlers): void {
    const { name, paramNames, validateParams, withoutPayload } = method
    const recorded = isRecorded(method)
    const handler = handlers[name] as (params: unknown, call: Call) => Promise<unknown>
    const perform = async (
      given: JSONRPCParams,
      { text, path, exact, caller, running }: ServerCall,
    ): Promise<unknown> => {
      const { access, principal } = caller
      const params = byName(given, paramNames)
      const exactParams = byName((exact as JSONRPCRequest).params, paramNames)
      // What is forbidden is so whatever its params are.
      const implied = await access?.admit(name, params)
      const checked = validateParams(completed(params, implied), completed(exactParams, implied))
      if (!checked.ok) {
        const where = checked.path === '' ? 'params' : checked.path
        throw new Fault('invalid_params', `${where} ${checked.message}`, { data: { path: checked.path } })
      }
      const step = (first: string): string | number =>
        Array.isArray(given) ? paramNames.indexOf(first) : first
      const result = await handler(checked.value, {
        principal,
        text: (param, ...rest) => valueText(text, [...path, 'params', step(param), ...rest]),
        signal: (needs_writing = false) => caller.signal(running, needs_writing),
        progress: (progress, wanted) => {
          const { id } = running
          if (id !== null && (wanted || caller.writes_no_more))
            caller.notify(
              JSON.stringify({ jsonrpc: '2.0', method: 'rpc.progress', params: { id, progress } }),
            )
        },
        stream: () => caller.stream,
        handsOut: undo => caller.handsOut(running, undo),
        cancel: other => caller.cancel(other, running),
      })
      access?.learn(name, result)
      return principal.scopes.has('payload') ? result : withoutPayload(result)
    }
    this.#server.addMethod(name, async (given: JSONRPCParams, call: ServerCall) => {
      const { caller } = call
      const ids = (): string[] =>
        idsOf(
          Array.isArray(given)
            ? Object.fromEntries(given.map((value, index) => [paramNames[index] ?? index, value]))
            : given,
        )
      try {
        const result = await perform(given, call)
        if (recorded)
          await this.#audit.done(caller.principal, name, [
            ...new Set([...ids(), ...idsOf(createdIn(result))]),
          ])
        return result
      } catch (error) {
        const forbidden = error instanceof Fault && error.fault === 'forbidden'
        if (forbidden) caller.forbidden = true
        if (recorded || forbidden) await this.#audit.failed(caller.principal, name, ids(), error)
        throw error
      }
    })
  }

  /**
   * Answers one message: a request or a batch. The answer is its JSON text, or undefined where nothing is to be answered.
   * Never throws.
   */
  async answer(text: Buffer, caller: Caller): Promise<string | undefined> {
    const message = this.#parse(text)
    if ('fault' in message) return JSON.stringify(message.fault)
    const { plain: value, exact } = message
    if (!Array.isArray(value)) return this.#one(value, exact, { text, path: [] }, caller)
    if (value.length === 0)
      return JSON.stringify(errorResponse(null, 'invalid_request', 'a batch holds at least one request'))
    if (value.length > maxBatchCalls) {
      const message = `a batch must hold at most ${maxBatchCalls} requests; found ${value.length}. Nothing of it was done: send it as several`
      return JSON.stringify(errorResponse(null, 'too_large', message))
    }
    const given = await this.#batch(value, exact as unknown[], text, caller)
    return given.length === 0 ? undefined : `[${given.join(',')}]`
  }

  /** Refuses a whole message: an error answer for each of its calls. */
  refusal(text: Buffer, message: string): string {
    const parsed = this.#parse(text)
    const values = 'fault' in parsed ? [{}] : [parsed.plain].flat()
    const ids = values
      .map(value => (Object(value) as { id?: unknown }).id)
      .filter(id => id !== undefined && isId(id))
    const answers = (ids.length === 0 ? [null] : ids.slice(0, maxBatchCalls)).map(id =>
      errorResponse(id, 'overloaded', message),
    )
    return JSON.stringify(answers.length === 1 ? answers[0] : answers)
  }

  /**
   * Answers to the calls of a batch, in their order. Calls begin in order; one that reads is waited for, so that what has
   * been answered is known, one that writes or waits is not.
   */
  async #batch(list: unknown[], exact: unknown[], text: Buffer, caller: Caller): Promise<string[]> {
    let bytes = 0
    const answers: Promise<string | undefined>[] = []
    for (const [index, value] of list.entries()) {
      const place = { text, path: [index] }
      const reads = reading.has(String((Object(value) as { method?: unknown }).method))
      const answer =
        reads && bytes >= maxBatchAnswerBytes
          ? this.#tooMuch(value, place)
          : this.#one(value, exact[index], place, caller)
      const counted = answer.then(given => {
        bytes += given === undefined ? 0 : Buffer.byteLength(given)
        return given
      })
      answers.push(counted)
      if (reads) await counted
    }
    return (await Promise.all(answers)).filter(answer => answer !== undefined)
  }

  /** Answers a call that is not made, because those before it in its batch have been answered at length. */
  async #tooMuch(value: unknown, place: Place): Promise<string | undefined> {
    const { id } = value as { id?: unknown }
    if (!isId(id)) return undefined
    const message = `the answers of a batch must have at most ${maxBatchAnswerBytes} bytes together, and those before this one have; ask again outside of this batch`
    return this.#text(errorResponse(id, 'too_large', message), place)
  }

  #parse(text: Buffer): { plain: unknown; exact: unknown } | { fault: JSONRPCResponse } {
    const exceeded = exceededLimit(text, this.#limits)
    if (exceeded !== undefined) return { fault: errorResponse(null, 'invalid_request', exceeded) }
    if (!isUtf8(text)) return { fault: errorResponse(null, 'parse_error', 'the message is not valid UTF-8') }
    try {
      return bothJson(text.toString('utf8'))
    } catch {
      return { fault: errorResponse(null, 'parse_error', 'the message is not valid JSON') }
    }
  }

  async #one(value: unknown, exact: unknown, place: Place, caller: Caller): Promise<string | undefined> {
    const wrong = envelopeFault(value)
    if (wrong !== undefined) {
      const { id } = Object(value) as { id?: unknown }
      return this.#text(errorResponse(isId(id) ? id : null, 'invalid_request', wrong), place)
    }
    const request = value as JSONRPCRequest
    const isNotification = request.id === undefined
    const running = caller.begin(request.id ?? null)
    if (running === undefined) {
      return isNotification
        ? undefined
        : this.#text(
            errorResponse(
              request.id!,
              'overloaded',
              'too many requests of this connection are in flight; wait for answers',
            ),
            place,
          )
    }
    const release = this.#isLarge(request) ? await this.#takeLarge(caller) : undefined
    try {
      if (caller.gone) return undefined
      // Many calls may have come in one turn: each begins when those before it have left it time.
      const pause = rest()
      if (pause !== undefined) await pause
      // A client that does not read its answers is refused before the call is made. After the call, only an answer that the client
      // can ask for again is replaced by a refusal.
      const refusal = isNotification
        ? undefined
        : (): string => this.#text(errorResponse(request.id!, 'overloaded', unreadMessage), place)
      if (refusal !== undefined && !caller.fits(leastAnswer)) return refusal()
      const response = await this.#server.receive(request, { ...place, exact, caller, running })
      if (caller.gone) await running.undo?.().catch(this.#logBug)
      if (response === null || refusal === undefined || caller.gone) return undefined
      const text = this.#text(response, place)
      return caller.fits(text.length) || !repeatable.test(request.method) ? text : refusal()
    } finally {
      release?.()
      caller.end(running)
    }
  }

  /** Whether a call needs its turn: one that waits for what is to come must not keep others from theirs meanwhile. */
  #isLarge({ method, params }: JSONRPCRequest): boolean {
    if (!large.has(method)) return false
    const place = this.#contract.get(method)!.paramNames.indexOf('wait_ms')
    const wait = Array.isArray(params)
      ? (params as unknown[])[place]
      : (params as { wait_ms?: unknown } | undefined)?.wait_ms
    return (wait ?? 0) === 0
  }

  /** Waits until a large answer may be made: after those of its connection, and with room for it. Answers how to let the next begin. */
  async #takeLarge(caller: Caller): Promise<() => void> {
    const releaseOwn = await caller.large.take()
    await caller.room(largeAnswer)
    const release = await this.#large.take()
    return () => {
      release()
      releaseOwn()
    }
  }

  /** An id that a double cannot hold is given back as it was written. */
  #text(response: JSONRPCResponse, { text, path }: Place): string {
    const { id } = response
    if (typeof id !== 'number' || Number.isSafeInteger(id)) return JSON.stringify(response)
    const raw = Buffer.from(valueText(text, [...path, 'id']) ?? 'null').toString('latin1')
    const { id: _, ...rest } = response
    return `${JSON.stringify(rest).slice(0, -1)},"id":${raw}}`
  }
}
