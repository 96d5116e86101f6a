// Messages to people as mail: plain text, one subject line, and an ID made of the run, by which mail programs know a repeated one.
import { createHash } from 'node:crypto'
import type { NotifyEndpoint } from '../../contract/types.ts'
import type { Egress } from '../../outbound/egress.ts'
import { sendMail, type MailAnswer } from '../../outbound/smtp.ts'
import type { ReadSecret } from '../../secrets.ts'
import { failure, type Delivery, type DeliveryResult } from '../bot.ts'
import { cut, oneLine, visible, type Message } from './notify-text.ts'

const mostSubject = 200
const mostText = 16_000
const priorities = ['low', 'low', 'normal', 'high', 'high'] as const

/** What the answer of a mail server means for a run. */
export function mailResult(answer: MailAnswer): DeliveryResult {
  if (answer.kind === 'accepted') {
    const refused = answer.rejected.length === 0 ? '' : `\nrefused for ${answer.rejected.join(', ')}`
    return {
      outcome: 'success',
      status: `SMTP ${answer.response.slice(0, 3)}`,
      output: `${answer.response}${refused}`,
      result: null,
    }
  }
  if (answer.kind === 'answered') {
    const told = { status: `SMTP ${answer.code}`, output: answer.error }
    // Codes from 500 are permanent (RFC 5321, 4.2.1).
    return failure(
      answer.code < 500 ? 'unavailable' : 'refused',
      `the mail server answered: ${cut(oneLine(answer.error), 300)}`,
      told,
    )
  }
  switch (answer.reason) {
    case 'aborted':
      return { outcome: 'aborted' }
    case 'timeout':
      return failure('timeout', answer.error)
    case 'unreachable':
      return failure('unreachable', answer.error)
    case 'broken':
      return failure('unavailable', answer.error)
    case 'blocked':
      return failure('refused', answer.error, { status: 'E_EGRESS_BLOCKED' })
    case 'insecure':
      return failure('refused', `the connection to the mail server cannot be encrypted: ${answer.error}`)
  }
}

export async function deliverMail(
  endpoint: NotifyEndpoint,
  { title, text, priority, link }: Message,
  { id, made, timeout_ms, signal }: Delivery,
  { egress, readSecret }: { egress: Egress; readSecret: ReadSecret },
): Promise<DeliveryResult> {
  const { host = '', secure = 'starttls', from = '', to = [], user = from, password } = endpoint
  const port = endpoint.port ?? (secure === 'tls' ? 465 : 587)
  const secret = password === undefined ? undefined : readSecret(password)
  if (secret?.ok === false)
    return failure('unreachable', `a secret of the bot cannot be read: ${secret.reason}`)
  const mail = {
    host,
    port,
    secure,
    auth: secret === undefined ? undefined : { user, pass: secret.value.toString('utf8') },
    from,
    to,
    message_id: `<${createHash('sha256').update(id).digest('hex').slice(0, 32)}@${from.slice(from.lastIndexOf('@') + 1)}>`,
    subject: cut(oneLine(title), mostSubject),
    text: [cut(visible(text), mostText), link].filter(part => part !== undefined).join('\n\n'),
    priority: priorities[priority - 1]!,
    timeout_ms,
    signal,
  }
  made(
    {
      kind: 'smtp',
      url: `${secure === 'tls' ? 'smtps' : 'smtp'}://${host.includes(':') ? `[${host}]` : host}:${port}`,
    },
    mail.text,
  )
  return mailResult(await sendMail(mail, egress))
}
