// One mail over SMTP: the address of the server is checked before and after connecting, and there is one limit on the whole time.
import { connect, isIP, type Socket } from 'node:net'
import type { Egress } from './egress.ts'
import { checkedLookup, EgressBlocked } from './exchange.ts'

export interface Mail {
  host: string
  port: number
  secure: 'starttls' | 'tls' | 'none'
  auth: { user: string; pass: string } | undefined
  from: string
  to: string[]
  message_id: string
  subject: string
  text: string
  priority: 'high' | 'normal' | 'low'
  timeout_ms: number
  signal: AbortSignal
}

export type MailAnswer =
  | { kind: 'accepted'; response: string; rejected: string[] }
  /** code: that of the server, such as 550 */
  | { kind: 'answered'; code: number; error: string }
  | {
      kind: 'failed'
      reason: 'unreachable' | 'broken' | 'timeout' | 'aborted' | 'blocked' | 'insecure'
      error: string
    }

type Nodemailer = typeof import('nodemailer')
let nodemailer: Promise<Nodemailer> | undefined

/** nodemailer is loaded with the first mail. */
function loaded(): Promise<Nodemailer> {
  return (nodemailer ??= import('nodemailer'))
}

class Unreachable extends Error {}

/** A connection to a server that the rule allows: a literal address before, names when looked up, and what was reached at last. */
function connected(
  { host, port }: Pick<Mail, 'host' | 'port'>,
  egress: Egress,
  opened: (socket: Socket) => void,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (isIP(host) !== 0 && !egress(host)) return reject(new EgressBlocked(`${host} is not open to bots`))
    const socket = connect({ host, port, lookup: checkedLookup(egress) })
    opened(socket)
    // Stays, so that a late error of the connection is never without a listener.
    socket.on('error', error =>
      reject(error instanceof EgressBlocked ? error : new Unreachable(error.message)),
    )
    socket.once('close', () => reject(new Unreachable('the connection was closed')))
    socket.once('connect', () => {
      if (egress(socket.remoteAddress ?? '')) return resolve(socket)
      socket.destroy()
      return reject(
        new EgressBlocked(`${host} was reached at ${socket.remoteAddress}, which is not open to bots`),
      )
    })
  })
}

async function sent(mail: Mail, egress: Egress, opened: (socket: Socket) => void): Promise<MailAnswer> {
  const { host, port, secure, auth, from, to, message_id, subject, text, priority, timeout_ms } = mail
  const [{ createTransport }, connection] = await Promise.all([loaded(), connected(mail, egress, opened)])
  const transport = createTransport({
    host,
    port,
    connection,
    secure: secure === 'tls',
    requireTLS: secure === 'starttls',
    ignoreTLS: secure === 'none',
    tls: { minVersion: 'TLSv1.2', ...(isIP(host) === 0 ? { servername: host } : {}) },
    greetingTimeout: timeout_ms,
    socketTimeout: timeout_ms,
    maxResponseSize: 65_536,
    ...(auth === undefined ? {} : { auth }),
  })
  const answer = await transport.sendMail({
    from,
    to,
    envelope: { from, to },
    subject,
    text,
    priority,
    messageId: message_id,
    headers: { 'Auto-Submitted': 'auto-generated' },
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return { kind: 'accepted', response: String(answer.response), rejected: answer.rejected.map(String) }
}

function failed(error: unknown): MailAnswer {
  const { code, responseCode, message } = error as { code?: string; responseCode?: number; message: string }
  if (error instanceof EgressBlocked) return { kind: 'failed', reason: 'blocked', error: message }
  if (error instanceof Unreachable) return { kind: 'failed', reason: 'unreachable', error: message }
  const isTransient = responseCode !== undefined && responseCode >= 400 && responseCode < 500
  if (code === 'ETLS' && !isTransient) return { kind: 'failed', reason: 'insecure', error: message }
  if (responseCode !== undefined && responseCode >= 400)
    return { kind: 'answered', code: responseCode, error: message }
  return { kind: 'failed', reason: 'broken', error: `${code ?? 'error'}: ${message}` }
}

/** Never throws. */
export async function sendMail(mail: Mail, egress: Egress): Promise<MailAnswer> {
  const { timeout_ms, signal } = mail
  let socket: Socket | undefined
  let end: ((answer: MailAnswer) => void) | undefined
  const ended = new Promise<MailAnswer>(resolve => (end = resolve))
  const timer = setTimeout(
    () => end!({ kind: 'failed', reason: 'timeout', error: `no complete answer within ${timeout_ms} ms` }),
    timeout_ms,
  )
  const abort = (): void => end!({ kind: 'failed', reason: 'aborted', error: 'aborted' })
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    return await Promise.race([ended, sent(mail, egress, opened => (socket = opened)).catch(failed)])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
    socket?.destroy()
  }
}
