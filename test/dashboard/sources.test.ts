import { describe, expect, test } from 'vitest'
import { signatureText } from '../../src/dashboard/sources/address.ts'
import {
  connectCommand,
  connectionProblems,
  type Connection,
} from '../../src/dashboard/sources/connect-command.ts'
import { lampOfSource, silentFor } from '../../src/dashboard/sources/health.ts'
import { messageFor, problemOf } from '../../src/dashboard/sources/problem.ts'

const source = { enabled: true, created_at: 0 }
const refused = { count: 1, first_at: 0, last_at: 5000, last_reason: 'E_SOURCE_UNCONFIGURED' }

describe('the lamp of a source', () => {
  test.each([
    [source, 'clear', 'enabled'],
    [{ ...source, enabled: false, silent_after_ms: 1 }, 'miss', 'disabled'],
    [{ ...source, health: { failures: 2 } }, 'stop', '2 failed readings'],
    [{ ...source, refused }, 'stop', 'secret cannot be read'],
    [{ ...source, refused, last_event_at: 6000 }, 'clear', 'enabled'],
    [{ ...source, silent_after_ms: 60_000 }, 'caution', 'silent for 2 min'],
    [{ ...source, silent_after_ms: 60_000, last_event_at: 100_000 }, 'clear', 'enabled'],
  ] as const)('%j', (of, kind, word) => {
    expect(lampOfSource(of, 120_000)).toEqual({ kind, word })
  })

  test('does not count time before the router started', () => {
    expect(silentFor({ ...source, silent_after_ms: 60_000 }, 120_000, 90_000)).toBeUndefined()
  })
})

describe('a refused source', () => {
  const refusal = (code: number, data: Record<string, unknown>): Parameters<typeof problemOf>[0] => ({
    message: 'it is wrong',
    code,
    data,
  })

  test('is wrong at a field', () => {
    const problem = problemOf(refusal(-32602, { path: 'source.config.secrets.0' }), 'forge')
    expect(problem.path).toBe('config.secrets.0')
    expect(messageFor(problem, 'config.secrets')).toBe('it is wrong')
    expect(messageFor(problem, 'config.secret')).toBeUndefined()
    expect(messageFor(problem, 'id')).toBeUndefined()
  })

  test('that exists already is wrong at its id', () => {
    expect(messageFor(problemOf(refusal(-32009, { found: 2 }), 'forge'), 'id')).toContain(
      'a source forge exists already',
    )
  })

  test('can be wrong as a whole', () => {
    expect(problemOf(refusal(-32015, {}), 'forge')).toEqual({ path: '', message: 'it is wrong' })
  })
})

describe('the command that connects a Forgejo', () => {
  const form: Connection = {
    forge: 'https://forge.example.org',
    target: 'acme/site',
    source_id: 'forge',
    webhook_url: '',
  }

  test.each<[Partial<Connection>, string]>([
    [
      {},
      'signalbox forgejo connect https://forge.example.org acme/site --source forge --token-file forgejo.token',
    ],
    [
      { target: 'acme' },
      'signalbox forgejo connect https://forge.example.org --org acme --source forge --token-file forgejo.token',
    ],
    [
      { webhook_url: 'https://me/webhook/forge?a=1' },
      `signalbox forgejo connect https://forge.example.org acme/site --source forge --token-file forgejo.token --webhook-url 'https://me/webhook/forge?a=1'`,
    ],
  ])('%j', (more, command) => {
    expect(connectCommand({ ...form, ...more })).toBe(command)
    expect(connectionProblems({ ...form, ...more })).toEqual({})
  })

  test.each<[Partial<Connection>, keyof Connection]>([
    [{ forge: 'forge.example.org' }, 'forge'],
    [{ forge: 'file:///etc/passwd' }, 'forge'],
    [{ target: '' }, 'target'],
    [{ target: 'a/b/c' }, 'target'],
    [{ target: '$(reboot)' }, 'target'],
    [{ source_id: 'Forge' }, 'source_id'],
    [{ webhook_url: 'me/webhook' }, 'webhook_url'],
  ])('needs more than %j', (more, field) => {
    expect(Object.keys(connectionProblems({ ...form, ...more }))).toEqual([field])
  })

  test('is not changed by what a field holds', () => {
    expect(connectCommand({ ...form, target: '$(reboot)/x', source_id: 'a b' })).toContain(
      `'$(reboot)/x' --source 'a b'`,
    )
  })
})

test.each(['forgejo', 'gitea', 'github', 'gitlab', 'standard', 'cloudevents', 'bearer', 'none'])(
  'the signature of %s is described',
  provider => {
    expect(signatureText(provider)).toBeDefined()
  },
)
