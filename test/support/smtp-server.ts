// A small mail server for tests: answers as it is told, upgrades with STARTTLS where it has a certificate, and notes mails.
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'

export interface SmtpOptions {
  /** with it, STARTTLS is offered */
  tls?: { key: string; cert: string }
  /** TLS from the start */
  implicit?: boolean
  /** answers in place of the usual ones, by the beginning of a command; "." is the end of a mail */
  answers?: Record<string, string>
  /** says nothing at all */
  silent?: boolean
}

export interface SmtpServer {
  port: number
  /** commands, each with whether the connection was encrypted */
  commands: { text: string; encrypted: boolean }[]
  mails: string[]
  connections: () => number
}

export async function smtpServer({
  tls,
  implicit = false,
  answers = {},
  silent = false,
}: SmtpOptions = {}): Promise<SmtpServer> {
  const commands: SmtpServer['commands'] = []
  const mails: string[] = []
  const sockets = new Set<Socket>()
  let connections = 0

  function usual(command: string, encrypted: boolean): string {
    const told = Object.entries(answers).find(([start]) => command.startsWith(start))
    if (told !== undefined) return told[1]
    if (command.startsWith('EHLO'))
      return `250-test\r\n${tls !== undefined && !encrypted ? '250-STARTTLS\r\n' : ''}250 AUTH PLAIN`
    if (command.startsWith('AUTH')) return '235 2.7.0 accepted'
    if (command === 'DATA') return '354 go on'
    if (command === 'STARTTLS') return tls === undefined ? '502 not known' : '220 ready'
    return command === 'QUIT' ? '221 bye' : '250 2.0.0 ok'
  }

  function serve(socket: Socket, encrypted: boolean): void {
    let [rest, mail]: [string, string[] | undefined] = ['', undefined]
    const say = (text: string): void => void socket.write(`${text}\r\n`)
    const line = (text: string): void => {
      if (mail !== undefined) {
        if (text !== '.') return void mail.push(text)
        mails.push(mail.join('\n'))
        mail = undefined
        return say(usual('.', encrypted))
      }
      commands.push({ text, encrypted })
      const answer = usual(text, encrypted)
      say(answer)
      if (text === 'DATA' && answer.startsWith('354')) mail = []
      if (text === 'STARTTLS' && answer.startsWith('220') && tls !== undefined) {
        socket.removeAllListeners('data')
        serve(new TLSSocket(socket, { ...tls, isServer: true }), true)
      }
    }
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      rest += chunk.toString('latin1')
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const text = rest.slice(0, end)
        rest = rest.slice(end + 2)
        line(text)
      }
    })
  }

  const server = createServer(socket => {
    connections++
    sockets.add(socket)
    const served = implicit ? new TLSSocket(socket, { ...tls, isServer: true }) : socket
    serve(served, implicit)
    if (!silent) served.write(`${answers.greeting ?? '220 test'}\r\n`)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, commands, mails, connections: () => connections }
}
