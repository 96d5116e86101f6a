// unix_rpc bots: a run is one JSON-RPC 2.0 call on a Unix socket, over HTTP or as a line; a result is success.
import { connect } from 'node:net'
import { defaults } from '../../contract/defaults.ts'
import type { UnixRpcEndpoint } from '../../contract/types.ts'
import { answerValue, tooMuch } from '../answer-json.ts'
import { exactJson } from '../../exact-json.ts'
import { failure, type BotKind, type Delivery, type DeliveryResult, type Render } from '../bot.ts'
import type { ExchangeAnswer, Exchanges } from '../../outbound/exchange.ts'
import { exchangeFailure, httpResult } from './http.ts'

/**
 * Calls of services that are known. hero_proc's job.create is not documented on the wire; these params are its fields
 * as its models name them, and can be replaced by the bot's own.
 */
const presets: Record<
  NonNullable<UnixRpcEndpoint['preset']>,
  { method: string; params: Record<string, unknown> }
> = {
  hero_proc: {
    method: 'job.create',
    params: {
      context_name: 'core',
      action: '{{ run.workflow_id }}',
      inputs: '{{ inputs }}',
      tags: ['signalbox', '{{ run.id }}'],
    },
  },
  hero_logic: {
    method: 'play_start',
    params: { workflow_sid: '{{ run.workflow_id }}', input_data: '{{ inputs }}' },
  },
  hero_logic_resume: {
    method: 'play_resume',
    params: {
      play_sid: '{{ inputs.play_sid }}',
      resume_id: '{{ inputs.resume_id }}',
      payload_json: '{{ payload_json }}',
    },
  },
}

/** What presets see: also the payload as text, which JSONata's $string would write with doubles. */
function presetScope(delivery: Delivery): object {
  const scope = delivery.scope() as { event?: { payload?: unknown } }
  const { payload } = scope.event ?? {}
  return { ...scope, payload_json: typeof payload === 'string' ? payload : JSON.stringify(payload) }
}

/** Server errors that another try may change: internal, overloaded, not ready, shutting down. */
const worthRetrying = new Set([-32603, -32005, -32007, -32010])

interface Answer {
  result?: unknown
  error?: { code?: unknown; message?: unknown }
}

function rpcResult(text: string, id: string): DeliveryResult {
  const exceeded = tooMuch(text)
  // As with an answer that was cut off, it may have been a success.
  if (exceeded !== undefined)
    return failure('refused', `the answer is not read: ${exceeded}; what it says is not known`, {
      status: 'result',
      output: text,
    })
  const read = answerValue(text)
  if (read === undefined) return failure('unavailable', 'the answer is not JSON', { output: text })
  const answer = read.value as Answer & { id?: unknown }
  if (typeof answer !== 'object' || answer === null || answer.id !== id)
    return failure('unavailable', 'the answer is no JSON-RPC response to this call', { output: text })
  if (answer.error !== undefined && answer.error !== null) {
    const code = Number(answer.error.code)
    const kind = worthRetrying.has(code) ? 'unavailable' : 'refused'
    return failure(kind, `the bot answered error ${code}: ${String(answer.error.message)}`, {
      status: `error ${code}`,
      output: text,
    })
  }
  if (!('result' in answer))
    return failure('unavailable', 'the answer has neither result nor error', { output: text })
  const { result = null } = exactJson(text) as Answer
  return { outcome: 'success', status: 'result', result: JSON.stringify(result), output: text }
}

export interface UnixRpcBotOptions {
  exchanges: Exchanges
  render: Render
  maxResponseBytes: number
  now: () => number
}

/** One line out, one line back. Never throws. */
function callByLine(
  path: string,
  line: string,
  delivery: Delivery,
  maxBytes: number,
): Promise<ExchangeAnswer> {
  const { promise, resolve } = Promise.withResolvers<ExchangeAnswer>()
  const socket = connect({ path, signal: delivery.signal })
  const chunks: Buffer[] = []
  let bytes = 0
  let reached = false
  const fail = (reason: 'unreachable' | 'broken' | 'timeout' | 'aborted', error: string): void =>
    resolve({ kind: 'failed', reason, error })
  const timer = setTimeout(
    () => fail('timeout', `no complete answer within ${delivery.timeout_ms} ms`),
    delivery.timeout_ms,
  )
  socket.on('connect', () => {
    reached = true
    socket.write(`${line}\n`)
  })
  socket.on('data', chunk => {
    const end = chunk.indexOf(0x0a)
    chunks.push(end < 0 ? chunk : chunk.subarray(0, end))
    bytes += chunk.length
    if (end >= 0 || bytes >= maxBytes)
      resolve({
        kind: 'answered',
        status: 200,
        headers: {},
        body: Buffer.concat(chunks).toString('utf8', 0, maxBytes),
        truncated: end < 0,
      })
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (delivery.signal.aborted) fail('aborted', 'aborted')
    else fail(reached ? 'broken' : 'unreachable', `${error.code ?? 'error'}: ${error.message}`)
  })
  socket.on('close', () =>
    fail(reached ? 'broken' : 'unreachable', 'the connection was closed before an answer'),
  )
  return promise.finally(() => {
    clearTimeout(timer)
    socket.destroy()
  })
}

export function unixRpcBot({
  exchanges,
  render,
  maxResponseBytes,
  now,
}: UnixRpcBotOptions): BotKind<UnixRpcEndpoint> {
  async function paramsText(
    endpoint: UnixRpcEndpoint,
    delivery: Delivery,
  ): Promise<{ ok: true; value: string } | { ok: false; reason: string; transient: boolean }> {
    const template =
      endpoint.params ?? (endpoint.preset === undefined ? undefined : presets[endpoint.preset].params)
    if (template === undefined) return { ok: true, value: delivery.body }
    const rendered = await render(
      template,
      'params',
      endpoint.params === undefined ? presetScope(delivery) : delivery.scope(),
    )
    return rendered.ok ? { ok: true, value: JSON.stringify(rendered.value) } : rendered
  }

  async function deliver(endpoint: UnixRpcEndpoint, delivery: Delivery): Promise<DeliveryResult> {
    const params = await paramsText(endpoint, delivery)
    if (!params.ok)
      return failure(params.transient ? 'unreachable' : 'refused', params.reason, { status: 'E_TEMPLATE' })
    const method = endpoint.method ?? presets[endpoint.preset!].method
    const call = `{"jsonrpc":"2.0","id":${JSON.stringify(delivery.id)},"method":${JSON.stringify(method)},"params":${params.value}}`
    delivery.made({ kind: 'unix_rpc', socket_path: endpoint.socket_path, method }, params.value)
    const answer =
      endpoint.framing === 'newline'
        ? await callByLine(endpoint.socket_path, call, delivery, maxResponseBytes)
        : await exchanges.send({
            origin: 'http://localhost',
            socket_path: endpoint.socket_path,
            path: endpoint.path ?? defaults.UnixRpcEndpoint.path,
            headers: {
              'content-type': 'application/json',
              'accept-encoding': 'identity',
              'webhook-id': delivery.id,
            },
            body: call,
            timeout_ms: delivery.timeout_ms,
            signal: delivery.signal,
          })
    if (answer.kind === 'failed') return exchangeFailure(answer)
    if (answer.status !== 200) {
      const told = httpResult(answer, now())
      return told.outcome === 'success'
        ? failure('unavailable', `the bot answered ${answer.status} and no result`)
        : told
    }
    // What was cut off may have been a success: it is not done again.
    if (answer.truncated)
      return failure(
        'refused',
        `the answer is longer than the ${maxResponseBytes} bytes that are read; what it says is not known`,
        {
          status: 'result',
          output: answer.body,
        },
      )
    return rpcResult(answer.body, delivery.id)
  }
  return { deliver, stop: () => exchanges.stop() }
}
