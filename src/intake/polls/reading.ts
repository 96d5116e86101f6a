// What polls and watches read: the standard output of a command, or the answer to a GET. Never throws.
import { defaults } from '../../contract/defaults.ts'
import type { PollConfig, WatchConfig } from '../../contract/types.ts'
import { childEnvironment, type Commands } from '../../outbound/commands.ts'
import type { Exchanges } from '../../outbound/exchange.ts'
import { retryAfterMs } from '../../outbound/retry-after.ts'
import type { ReadSecret } from '../../secrets.ts'

/** What a server said of an answer, so that it need not send the same again. */
export interface Validators {
  etag?: string
  last_modified?: string
}

export type Reading =
  | { kind: 'read'; text: string; validators: Validators; next_url?: string }
  | { kind: 'unchanged' }
  | { kind: 'failed'; error: string; retry_after_ms?: number }

export interface ReadingOptions {
  exchanges: Exchanges
  commands: Commands
  readSecret: ReadSecret
  env: Record<string, string | undefined>
  maxBytes: number
  killGraceMs: number
  now: () => number
}

type ReadFrom = Pick<PollConfig & WatchConfig, 'command' | 'url' | 'bearer' | 'timeout_ms'>

let commandsRun = 0

function header(headers: Record<string, string | string[] | undefined>, name: string): string | undefined {
  return [headers[name]].flat()[0]
}

function isNext(params: string): boolean {
  return params.split(';').some(param => {
    const [name = '', value = ''] = param.split('=')
    return (
      name.trim().toLowerCase() === 'rel' &&
      value.replaceAll('"', '').trim().toLowerCase().split(/\s+/).includes('next')
    )
  })
}

/**
 * The target of a Link with rel=next (RFC 8288), if it is of the same origin: nothing else is told the token. One pass:
 * an expression for the whole header takes quadratic time over brackets that nothing closes (80 ms for 15 KB).
 */
export function nextPage(link: string | undefined, url: URL): string | undefined {
  if (link === undefined) return undefined
  let end = 0
  for (let start = link.indexOf('<'); start >= 0; start = link.indexOf('<', end)) {
    const close = link.indexOf('>', start)
    if (close < 0) return undefined
    const comma = link.indexOf(',', close)
    end = comma < 0 ? link.length : comma
    const target = link.slice(start + 1, close)
    if (!isNext(link.slice(close + 1, end)) || !URL.canParse(target, url.href)) continue
    const next = new URL(target, url)
    if (next.origin === url.origin) return next.href
  }
  return undefined
}

async function readUrl(
  from: ReadFrom,
  url: URL,
  validators: Validators,
  signal: AbortSignal,
  options: ReadingOptions,
): Promise<Reading> {
  const { exchanges, readSecret, now } = options
  const headers: Record<string, string> = {
    accept: 'application/json, */*;q=0.5',
    'accept-encoding': 'identity',
    'user-agent': 'signalbox',
  }
  if (validators.etag !== undefined) headers['if-none-match'] = validators.etag
  if (validators.last_modified !== undefined) headers['if-modified-since'] = validators.last_modified
  if (from.bearer !== undefined) {
    const secret = readSecret(from.bearer)
    if (!secret.ok) return { kind: 'failed', error: `the bearer token cannot be read: ${secret.reason}` }
    headers.authorization = `Bearer ${secret.value.toString('latin1')}`
  }
  const { origin, pathname, search } = url
  const answer = await exchanges.send({
    method: 'GET',
    origin,
    path: `${pathname}${search}`,
    headers,
    timeout_ms: from.timeout_ms ?? defaults.PollConfig.timeout_ms,
    signal,
  })
  if (answer.kind === 'failed') return { kind: 'failed', error: answer.error }
  const { status, body, truncated } = answer
  const retry_after_ms = retryAfterMs(header(answer.headers, 'retry-after'), now())
  if (status === 304) return { kind: 'unchanged' }
  if (status >= 300 && status < 400)
    return {
      kind: 'failed',
      error: `the server answered ${status}; redirects are not followed, put the final address into url`,
    }
  if (status < 200 || status > 299)
    return {
      kind: 'failed',
      error: `the server answered ${status}`,
      ...(retry_after_ms === undefined ? {} : { retry_after_ms }),
    }
  if (truncated)
    return { kind: 'failed', error: `the answer is larger than ${options.maxBytes} bytes (poll_max_bytes)` }
  const [etag, last_modified] = [header(answer.headers, 'etag'), header(answer.headers, 'last-modified')]
  const next_url = nextPage(header(answer.headers, 'link'), url)
  return {
    kind: 'read',
    text: body,
    validators: {
      ...(etag === undefined ? {} : { etag }),
      ...(last_modified === undefined ? {} : { last_modified }),
    },
    ...(next_url === undefined ? {} : { next_url }),
  }
}

export interface CommandRun {
  source_id: string
  command: NonNullable<PollConfig['command']>
  input: string
  timeout_ms: number
  signal: AbortSignal
}

/** What a command printed, or why it is not to be had. */
export async function readCommand(
  { source_id, command, input, timeout_ms, signal }: CommandRun,
  {
    commands,
    env,
    maxBytes,
    killGraceMs,
  }: Pick<ReadingOptions, 'commands' | 'env' | 'maxBytes' | 'killGraceMs'>,
): Promise<Reading> {
  let ended: 'timeout' | 'stopped' | undefined
  let timer: NodeJS.Timeout | undefined
  let stop: (() => void) | undefined
  const report = await commands.run(
    {
      kind: 'spawn',
      id: `reading ${++commandsRun}`,
      argv: command.argv,
      cwd: command.cwd ?? null,
      env: { ...childEnvironment(env, command.env ?? []), SIGNALBOX_SOURCE_ID: source_id },
      input,
      max_stdout_bytes: maxBytes,
    },
    killGraceMs,
    ending => {
      timer = setTimeout(() => {
        ended = 'timeout'
        ending()
      }, timeout_ms)
      stop = () => {
        ended = 'stopped'
        ending()
      }
      if (signal.aborted) stop()
      signal.addEventListener('abort', stop, { once: true })
    },
  )
  clearTimeout(timer)
  if (stop !== undefined) signal.removeEventListener('abort', stop)
  if (ended === 'timeout') return { kind: 'failed', error: `the command was ended after ${timeout_ms} ms` }
  if (ended === 'stopped') return { kind: 'failed', error: 'the router stopped during this reading' }
  if (report.error !== null) return { kind: 'failed', error: report.error.message }
  const { code, signal: by } = report.exit!
  const said = report.stderr.trim().split('\n').at(-1)?.slice(-200)
  if (code !== 0) {
    const how = by === null ? `exit code ${code}` : `ended by ${by}`
    return {
      kind: 'failed',
      error: `the command failed, ${how}${said === undefined || said === '' ? '' : `: ${said}`}`,
    }
  }
  if (report.truncated)
    return { kind: 'failed', error: `the command printed more than ${maxBytes} bytes (poll_max_bytes)` }
  return { kind: 'read', text: report.stdout, validators: {} }
}

/** One page: the first, or the one at page_url. */
export function read(
  source_id: string,
  from: ReadFrom,
  { validators, page_url }: { validators: Validators; page_url?: string | undefined },
  signal: AbortSignal,
  options: ReadingOptions,
): Promise<Reading> {
  if (from.url !== undefined) return readUrl(from, new URL(page_url ?? from.url), validators, signal, options)
  return readCommand(
    {
      source_id,
      command: from.command!,
      input: '',
      timeout_ms: from.timeout_ms ?? defaults.PollConfig.timeout_ms,
      signal,
    },
    options,
  )
}
