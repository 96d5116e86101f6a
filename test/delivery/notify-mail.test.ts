// notify bots with the preset smtp: what is mailed, what the answers of a mail server do, and what is refused.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { egressRule } from '../../src/outbound/egress.ts'
import { sendMail, type Mail } from '../../src/outbound/smtp.ts'
import { ended, freshDirectory, freshRouter, until, type TestRouter } from '../support/router.ts'
import { smtpServer, type SmtpOptions, type SmtpServer } from '../support/smtp-server.ts'

const password = 'mail-0123456789'
const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) console.log('SKIPPED: openssl is not installed, STARTTLS was not tried')

function certificate(): { key: string; cert: string } {
  const directory = freshDirectory()
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  spawnSync('openssl', [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    key,
    '-out',
    cert,
    '-days',
    '1',
    ...names,
  ])
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
}

function trust(cert: string): void {
  const usual = getCACertificates('default')
  setDefaultCACertificates([...usual, cert])
  onTestFinished(() => setDefaultCACertificates(usual))
}

interface Bench {
  router: TestRouter
  server: SmtpServer
  emit: (payload?: unknown) => Promise<string>
}

async function bench(
  options: SmtpOptions = {},
  endpoint: object = { secure: 'none' },
  policy: object = { retry: 'none' },
): Promise<Bench> {
  const server = await smtpServer(options)
  const router = await freshRouter({ delivery_timeout_ms: 2000 }, { MAIL_PASSWORD: password })
  const mail = {
    kind: 'notify',
    preset: 'smtp',
    host: '127.0.0.1',
    port: server.port,
    from: 'router@example.org',
    to: ['ops@example.org'],
    ...endpoint,
  }
  await router.call('bot.put', { bot: { id: 'people', endpoint: mail as never } })
  await router.call('source.put', { source: { id: 's', source_type: 'service' } })
  await router.call('trigger.put', {
    trigger: { id: 't', filter: { source_id: ['s'] }, action: { bot_id: 'people' }, policy },
  })
  const emit = async (payload: unknown = {}): Promise<string> =>
    (await router.call('event.emit', { source_id: 's', type: 'build.failed', payload })).runs[0]!
  return { router, server, emit }
}

test('a plain mail with title, text, link and priority', async () => {
  const templates = {
    secure: 'none',
    title: 'Build {{ event.payload.n }}',
    text: 'line one\nline two',
    priority: 5,
    link: 'https://ci.example.org/7',
  }
  const { router, server, emit } = await bench({}, templates)
  const run_id = await emit({ n: 7 })
  expect(await ended(router, run_id)).toMatchObject({ state: 'completed' })
  const mail = server.mails[0]!
  expect(mail).toContain('From: router@example.org\nTo: ops@example.org\nSubject: Build 7\n')
  expect(mail).toMatch(/Message-ID: <[0-9a-f]{32}@example\.org>/)
  expect(mail).toContain('X-Priority: 1')
  expect(mail).toContain('Auto-Submitted: auto-generated')
  expect(mail).toContain('Content-Type: text/plain')
  expect(mail).toContain('line one\nline two\n\nhttps://ci.example.org/7')
  expect((await router.call('run.request', { run_id })).request).toMatchObject({
    kind: 'smtp',
    url: `smtp://127.0.0.1:${server.port}`,
  })
})

test('nothing of an event becomes a header or a command', async () => {
  const { router, server, emit } = await bench(
    {},
    { secure: 'none', title: '{{ event.payload.t }}', text: '{{ event.payload.t }}' },
  )
  await ended(
    router,
    await emit({ t: 'x\r\nBcc: evil@example.net\r\n\r\n.\r\nMAIL FROM:<evil@example.net>' }),
  )
  expect(server.mails).toHaveLength(1)
  const [head = '', ...body] = server.mails[0]!.split('\n\n')
  expect(head).not.toMatch(/^Bcc:/m)
  expect(body.join('\n\n')).toContain('Bcc: evil@example.net')
  expect(server.commands.map(({ text }) => text).filter(text => text.includes('evil'))).toEqual([])
  expect(server.commands.map(({ text }) => text).filter(text => text.startsWith('RCPT'))).toEqual([
    'RCPT TO:<ops@example.org>',
  ])
})

test.runIf(hasOpenssl)('STARTTLS before the password and the mail', async () => {
  const tls = certificate()
  trust(tls.cert)
  const { router, server, emit } = await bench(
    { tls },
    { password: { env: 'MAIL_PASSWORD' }, user: 'router' },
  )
  const run_id = await emit()
  expect(await ended(router, run_id)).toMatchObject({ state: 'completed' })
  expect(server.commands.filter(({ encrypted }) => !encrypted).map(({ text }) => text.split(' ')[0])).toEqual(
    ['EHLO', 'STARTTLS'],
  )
  expect(server.commands.find(({ text }) => text.startsWith('AUTH'))!.text).toBe(
    `AUTH PLAIN ${Buffer.from(`\0router\0${password}`).toString('base64')}`,
  )
  expect(
    JSON.stringify([
      await router.call('run.history', { run_id }),
      await router.call('bot.get', { bot_id: 'people' }),
    ]),
  ).not.toContain(password)
})

test.runIf(hasOpenssl)('TLS from the start', async () => {
  const tls = certificate()
  trust(tls.cert)
  const { router, server, emit } = await bench(
    { tls, implicit: true },
    { password: { env: 'MAIL_PASSWORD' }, secure: 'tls' },
  )
  expect(await ended(router, await emit())).toMatchObject({ state: 'completed' })
  expect(server.commands.every(({ encrypted }) => encrypted)).toBe(true)
  expect(server.mails).toHaveLength(1)
})

test.runIf(hasOpenssl)('control: a certificate that is not trusted gets nothing', async () => {
  const { router, server, emit } = await bench({ tls: certificate() }, { password: { env: 'MAIL_PASSWORD' } })
  expect(await ended(router, await emit())).toMatchObject({ state: 'failed' })
  expect(server.commands.filter(({ text }) => text.startsWith('AUTH'))).toEqual([])
})

test.runIf(hasOpenssl)('a wrong password fails the run', async () => {
  const tls = certificate()
  trust(tls.cert)
  const answers = { AUTH: '535 5.7.8 bad credentials' }
  const { router, server, emit } = await bench(
    { tls, answers },
    { password: { env: 'MAIL_PASSWORD' } },
    { retry: [0, 0] },
  )
  expect(await ended(router, await emit())).toMatchObject({
    state: 'failed',
    attempt: 1,
    error: expect.stringContaining('535') as string,
  })
  expect(server.mails).toEqual([])
})

test('a server without STARTTLS gets neither password nor mail', async () => {
  const { router, server, emit } = await bench({}, { password: { env: 'MAIL_PASSWORD' } })
  expect(await ended(router, await emit())).toMatchObject({
    state: 'failed',
    error: expect.stringContaining('cannot be encrypted') as string,
  })
  expect(server.commands.filter(({ text }) => /^(AUTH|MAIL)/.test(text))).toEqual([])
})

describe('answers of a mail server', () => {
  test.each([
    [
      'a recipient that does not exist',
      { RCPT: '550 5.1.1 no such user' },
      { state: 'failed', attempt: 1, error: expect.stringContaining('550') as string },
    ],
    ['a mail that is refused', { '.': '554 5.7.1 spam' }, { state: 'failed', attempt: 1 }],
    ['a mailbox that is busy', { '.': '451 4.3.0 later' }, { state: 'failed', attempt: 2 }],
    ['a greeting that refuses', { greeting: '421 too many connections' }, { state: 'failed', attempt: 2 }],
    ['garbage', { greeting: '\u0000\u0001 what?' }, { state: 'failed', attempt: 2 }],
  ])('%s', async (_title, answers, expected) => {
    const { router, emit } = await bench({ answers }, { secure: 'none', timeout_ms: 1000 }, { retry: [0, 0] })
    expect(await ended(router, await emit())).toMatchObject(expected)
  })
  test('a server that says nothing times out', async () => {
    const { router, emit } = await bench({ silent: true }, { secure: 'none', timeout_ms: 300 })
    expect(await ended(router, await emit())).toMatchObject({ state: 'timed_out' })
  })
  test('an attempt after a busy one has the same Message-ID', async () => {
    const { router, server, emit } = await bench(
      { answers: { '.': '451 4.3.0 later' } },
      { secure: 'none' },
      { retry: [0, 0] },
    )
    await ended(router, await emit())
    await until(async () => server.mails.length === 2)
    expect(new Set(server.mails.map(mail => /^Message-ID: .*$/m.exec(mail)![0])).size).toBe(1)
  })
})

describe('egress', () => {
  const mail: Mail = {
    host: '127.0.0.1',
    port: 0,
    secure: 'none',
    auth: undefined,
    from: 'a@example.org',
    to: ['b@example.org'],
    message_id: '<x@example.org>',
    subject: 's',
    text: 't',
    priority: 'normal',
    timeout_ms: 2000,
    signal: new AbortController().signal,
  }
  test.each(['127.0.0.1', 'localhost'])('%s is not connected to where the rule forbids it', async host => {
    const server = await smtpServer()
    expect(await sendMail({ ...mail, host, port: server.port }, () => false)).toMatchObject({
      kind: 'failed',
      reason: 'blocked',
    })
    expect(server.connections()).toBe(0)
  })
  test('control: it is where the rule allows it', async () => {
    const server = await smtpServer()
    expect(await sendMail({ ...mail, port: server.port }, egressRule([]))).toMatchObject({ kind: 'accepted' })
  })
  test('an address is refused when the bot is written', async () => {
    const router = await freshRouter()
    const endpoint = {
      kind: 'notify',
      preset: 'smtp',
      host: '10.0.0.1',
      from: 'a@example.org',
      to: ['b@example.org'],
    } as const
    await expect(
      router.call('bot.put', { bot: { id: 'b', endpoint: { ...endpoint, to: [...endpoint.to] } } }),
    ).rejects.toThrow('bot.endpoint.host must be a public address; found 10.0.0.1')
  })
})

describe('endpoints that are refused', () => {
  const good = {
    kind: 'notify',
    preset: 'smtp',
    host: 'mail.example.org',
    from: 'a@example.org',
    to: ['b@example.org'],
  }
  test.each([
    [{ host: undefined }, 'bot.endpoint.host is required for the preset smtp'],
    [{ to: undefined }, 'bot.endpoint.to is required for the preset smtp'],
    [{ from: 'a@example.org\r\nBcc: c@example.org' }, 'bot.endpoint.from'],
    [{ to: ['A <b@example.org>'] }, 'bot.endpoint.to'],
    [{ url: 'https://example.org' }, 'bot.endpoint.url does not belong to the preset smtp'],
    [{ secure: 'none', password: { env: 'P' } }, 'bot.endpoint.password must not be sent without encryption'],
  ])('%j', async (change, message) => {
    const router = await freshRouter()
    await expect(
      router.call('bot.put', { bot: { id: 'b', endpoint: { ...good, ...change } as never } }),
    ).rejects.toThrow(message)
  })
  test('control: without the change it is written', async () => {
    const router = await freshRouter()
    expect(await router.call('bot.put', { bot: { id: 'b', endpoint: good as never } })).toHaveProperty('bot')
  })
})
