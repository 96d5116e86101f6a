// JSON-RPC over HTTP: a call or a batch in the body of a POST, the same on every listener.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { errorTable, Fault } from '../errors.ts'
import { readBody, type BodyBudget } from '../http/request.ts'
import { Caller } from './caller.ts'
import type { Access } from './access.ts'
import type { Jsonrpc } from './jsonrpc.ts'

export interface HttpRpcOptions {
  jsonrpc: Jsonrpc
  /** what the caller may do; undefined: everything */
  access: Access | undefined
  /** calls of one batch that are not answered */
  in_flight: number
  /** bytes of the longest message that is taken */
  longest: number
  budget: BodyBudget
  logBug: (error: unknown) => void
}

/** Reads the calls of a request and answers them. Throws Fault for a body that cannot be read or is too large. */
export async function answerRpc(
  request: IncomingMessage,
  response: ServerResponse,
  headers: ReadonlyMap<string, string>,
  { jsonrpc, access, in_flight, longest, budget, logBug }: HttpRpcOptions,
): Promise<void> {
  const type = (headers.get('content-type') ?? 'application/json').split(';', 1)[0]!.trim().toLowerCase()
  if (type !== 'application/json')
    throw new Fault(
      'unsupported_media_type',
      `the content type must be application/json; found ${JSON.stringify(type)}`,
    )
  const body = await readBody(request, headers, longest, budget)
  const caller = new Caller(in_flight, undefined, access)
  // A caller that closes its side gets no answer from Node. 'end' comes some turns before 'close', and a run that is claimed meanwhile
  // would be lost until its lease ends.
  const gone = (): void => caller.close()
  const takeBack = (): void => void caller.undelivered().catch(logBug)
  request.socket.once('end', gone)
  response.once('close', () => {
    request.socket.off('end', gone)
    gone()
    if (!response.writableFinished) takeBack()
  })
  const answer = await jsonrpc.answer(body, caller)
  // What the other end did meanwhile is known after the next turn.
  if (caller.handedOut) await new Promise(setImmediate)
  if (caller.isClosed) return takeBack()
  if (answer === undefined) {
    response.writeHead(204)
    return void response.end()
  }
  // Of a batch each call has an answer of its own.
  const status = caller.forbidden && answer.startsWith('{') ? errorTable.forbidden.status : 200
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(answer),
  })
  response.end(answer)
}
