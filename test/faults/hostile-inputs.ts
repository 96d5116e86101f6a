// Hostile inputs, as fast-check makes and shrinks them: calls and deliveries that are nearly right, and recorded bytes with faults.
import fc from 'fast-check'
import { readdirSync, readFileSync } from 'node:fs'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** A change of something right: where, what is done, with what. */
type Edit = readonly [where: number, what: number, value: number]

const id = '01997f3e-5b00-7000-8000-0000000000e1'
function nested(depth: number): Json {
  let value: Json = 0
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { a: value }
  return value
}

/** What programs stumble over, each a value of JSON. */
const stumbles: readonly Json[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1.5,
  1e-9,
  2 ** 31,
  2 ** 53,
  2 ** 53 + 2,
  1e21,
  1.7e308,
  -1.7e308,
  8.64e15 + 1,
  '',
  ' ',
  '0',
  '-1',
  '\u0000',
  '\ud800',
  '\u202e',
  '\u001b[31m',
  '😀',
  'e\u0301',
  'null',
  '__proto__',
  'constructor',
  'toString',
  '../../etc/passwd',
  '/etc/passwd',
  '/proc/self/environ',
  'a\r\nX-Evil: 1',
  '%00',
  '*',
  '*'.repeat(60),
  '(a+)+$',
  'a*a*a*a*a*b',
  '[[[[',
  '\\',
  'x'.repeat(300),
  'x'.repeat(70_000),
  id,
  '2026-13-45T99:99:99Z',
  '0 0 31 2 *',
  '*/0 * * * *',
  '0 0 0 0 0 0 0',
  '@yearly',
  '* * * * * *',
  '{{',
  '{{ }}',
  '{{ payload }}',
  '{{ payload.__proto__ }}',
  '{{ $eval("1") }}',
  '{{ [1..1000000] }}',
  '{{ ($f := function() { $f() }; $f()) }}',
  '{{ $string(payload) }}',
  'http://127.0.0.1:9/',
  'http://127.1:9/',
  'http://[::1]:9/',
  'file:///etc/passwd',
  'http://user:pass@127.0.0.1:9/',
  'http://169.254.169.254/',
  'javascript:alert(1)',
  [],
  {},
  [null],
  [[]],
  [{}],
  { a: 1 },
  nested(20),
  nested(70),
  Array.from({ length: 300 }, (_, n) => n),
  Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`k${n}`, n])),
  { exists: true },
  [{ exists: 'x' }],
  [{ numeric: ['>', 'x'] }],
  [{ numeric: ['<', 1, '>', 2] }],
  [{ wildcard: '*a*a*a*a*b' }],
  [{ prefix: '' }],
  [{ 'anything-but': [] }],
  [{ 'anything-but': [{ prefix: 'a' }] }],
  [{ cidr: '0.0.0.0/99' }],
  { $or: [] },
  { $or: [{ a: [1] }, { b: [2] }] },
  { $not: {} },
  { file: '/etc/passwd' },
  { env: 'PATH' },
  { value: 'plain' },
]

const isContainer = (value: Json): value is Json[] | { [key: string]: Json } =>
  typeof value === 'object' && value !== null

/** Every place of a value where something stands: its container, and the key in it. */
function places(
  value: Json,
  found: { of: Json[] | { [key: string]: Json }; key: string }[] = [],
): typeof found {
  if (!isContainer(value)) return found
  for (const key of Object.keys(value)) {
    found.push({ of: value, key })
    places((value as { [key: string]: Json })[key]!, found)
  }
  return found
}

/** A value with edits; as text, so that keys may be doubled or be __proto__. */
export function edited(value: Json, edits: readonly Edit[]): string {
  const root: { [key: string]: Json } = { '': structuredClone(value) }
  const texts: [string, string][] = []
  for (const [where, what, which] of edits) {
    const all = places(root)
    const { of, key } = all[where % all.length]!
    const own = of as { [key: string]: Json }
    const stumble = stumbles[which % stumbles.length]!
    switch (what % 8) {
      case 0:
      case 1:
      case 2:
        own[key] = structuredClone(stumble)
        break
      case 3:
        if (key !== '') delete own[key]
        break
      case 4:
        own[key] = [own[key]!]
        break
      case 5:
        if (isContainer(own[key]!) && !Array.isArray(own[key])) own[key]['extra'] = structuredClone(stumble)
        break
      case 6:
        own[key] = structuredClone(
          (all[which % all.length]!.of as { [key: string]: Json })[all[which % all.length]!.key]!,
        )
        break
      default:
        texts.push([
          `${JSON.stringify(key)}:`,
          `${which % 2 === 0 ? '"__proto__"' : JSON.stringify(key)}:1,${JSON.stringify(key)}:`,
        ])
    }
    // What holds itself has no text.
    if (places(root).length > 5000) break
  }
  return texts.reduce((text, [from, to]) => text.replace(from, () => to), JSON.stringify(root['']))
}

const edits = (least: number): fc.Arbitrary<Edit[]> =>
  fc.array(fc.tuple(fc.nat(10_000), fc.nat(10_000), fc.nat(10_000)), { minLength: least, maxLength: 4 })

interface Document {
  methods: { name: string; examples: { params: { name: string; value: Json }[] }[] }[]
}
const { methods } = JSON.parse(readFileSync('openrpc.json', 'utf8')) as Document

/** These would start what the examples name, write where they say, or end the session. */
const left = new Set(['router.resume', 'router.backup'])

/** Nothing leaves the machine, and nobody waits. */
function harmless(text: string): string {
  return text
    .replaceAll(
      /https?:\/\/(?!127\.0\.0\.1)[a-z0-9.-]+\.(org|com|net|example|test|dev|io)(:\d+)?/g,
      'http://127.0.0.1:9',
    )
    .replaceAll(/"(wait_ms|timeout_ms)":[^,}]+/g, '"$1":0')
}

const calls = methods
  .filter(({ name }) => !left.has(name))
  .flatMap(({ name, examples }) =>
    examples.map(({ params }): [string, Json] => [
      name,
      Object.fromEntries(params.map(each => [each.name, each.value])),
    ]),
  )

/** A call of the contract's examples, more or less. */
export const call: fc.Arbitrary<{ method: string; params: string }> = fc
  .tuple(fc.constantFrom(...calls), edits(0))
  .map(([[method, params], own]) => ({ method, params: harmless(edited(params, own)) }))

const filter: Json = {
  type: ['push', { prefix: 'a' }],
  payload: {
    ref: [{ wildcard: 'refs/*/main' }],
    n: [{ numeric: ['>', 1, '<=', 5] }],
    a: { b: [{ exists: true }] },
    $or: [{ c: [1] }, { d: [null] }],
  },
}
const inputs: Json = {
  repo: '{{ payload.repository.full_name }}',
  deep: { list: ['{{ payload.commits.id }}', '{{ $count(payload.commits) }}'] },
  text: 'at {{ payload.after }}',
}
const payload: Json = {
  ref: 'refs/heads/main',
  n: 3,
  a: { b: [1, 2, { c: 'x' }] },
  repository: { full_name: 'acme/site' },
  commits: [{ id: 'a' }, { id: 'b' }],
  after: '67b5',
}

/** A pattern and a mapping, tried on an event: all three more or less right. */
export const trial: fc.Arbitrary<{ method: string; params: string }> = fc
  .tuple(edits(0), edits(0), edits(0))
  .map(([one, two, three]) => {
    const trigger = `{"id":"t","filter":${edited(filter, one)},"action":{"bot_id":"b","inputs":${edited(inputs, two)}}}`
    return {
      method: 'trigger.test',
      params: `{"trigger":${trigger},"event":{"type":"push","payload":${edited(payload, three)}}}`,
    }
  })

const cronField = fc.oneof(
  fc.constantFrom(
    '*',
    '0',
    '5',
    '31',
    '59',
    '60',
    '-1',
    '*/5',
    '*/0',
    '1-5',
    '5-1',
    '1,2,3',
    'L',
    'W',
    '15W',
    'LW',
    'mon',
    'mon#1',
    '1#6',
    'jan',
    '?',
    '1-',
    ',',
    '0/5',
    '1-5/2',
    '99999999999',
    '*/99999999999',
  ),
  fc.string({ maxLength: 4 }),
)
/** A cron expression of 3 to 8 fields that may be right, a time zone that may exist. */
export const schedule: fc.Arbitrary<{ method: string; params: string }> = fc
  .tuple(
    fc.array(cronField, { minLength: 3, maxLength: 8 }),
    fc.constantFrom(
      'UTC',
      'Europe/Berlin',
      'Antarctica/Troll',
      'Mars/Phobos',
      '',
      '../UTC',
      '+25:00',
      'GMT+99',
    ),
  )
  .map(([fields, timezone]) => ({
    method: 'source.preview',
    params: JSON.stringify({ expression: fields.join(' '), timezone }),
  }))

/** Requests and lines that a good sender sent; bytes. */
export function sessions(recorded: readonly Buffer[]): fc.Arbitrary<Buffer> {
  return fc
    .tuple(
      fc.nat(10_000),
      fc.nat(10_000),
      fc.array(fc.tuple(fc.nat(1_000_000), fc.nat(5), fc.nat(1_000_000)), { minLength: 1, maxLength: 6 }),
    )
    .map(([first, second, faults]) => {
      let bytes = Buffer.from(recorded[first % recorded.length]!)
      const other = recorded[second % recorded.length]!
      for (const [where, what, value] of faults) {
        const at = bytes.length === 0 ? 0 : where % bytes.length
        if (what === 0 && bytes.length > 0) bytes[at]! ^= 1 << (value % 8)
        else if (what === 1)
          bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + (value % 20))])
        else if (what === 2)
          bytes = Buffer.concat([
            bytes.subarray(0, at),
            Buffer.from([value % 256, 13, 10, value % 7]),
            bytes.subarray(at),
          ])
        else if (what === 3)
          bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(value % other.length)])
        else if (what === 4)
          bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - (value % 50)))])
        else bytes = bytes.subarray(0, at)
      }
      return bytes
    })
}

/** The lines that transcripts send. */
export function transcriptLines(): Buffer[] {
  return readdirSync('test/rpc')
    .filter(name => name.endsWith('.io'))
    .flatMap(name => readFileSync(`test/rpc/${name}`, 'utf8').split('\n'))
    .filter(line => line.startsWith('>> '))
    .map(line => Buffer.from(`${line.slice(3)}\n`))
}

/** What Gitea sent, by its type. */
export function deliveries(): { type: string; body: string }[] {
  return readdirSync('test/fixtures/gitea-webhooks')
    .filter(name => name.endsWith('-event.json'))
    .map(name => ({
      type: name.replace('-event.json', '').replaceAll('-', '_'),
      body: readFileSync(`test/fixtures/gitea-webhooks/${name}`, 'utf8'),
    }))
}

export interface Delivery {
  path: string
  method: string
  headers: string[]
  body: Buffer
}

/** A delivery with faults: signed says what its signature is made of. */
export function delivery(bodies: readonly string[], sign: (body: Buffer) => string): fc.Arbitrary<Delivery> {
  const path = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.constantFrom(
        '/webhook/forge',
        '/webhook/open',
        '/webhook/hub',
        '/webhook/std',
        '/webhook/lab',
        '/webhook/tok',
        '/webhook/events',
      ),
    },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        '/webhook/',
        '/webhook/none',
        '/webhook/../forge',
        '/webhook/%2e%2e',
        '/webhook/%00',
        '//webhook/forge',
        '/webhook/forge?x=1',
        '/webhook/forge#x',
        '/WEBHOOK/forge',
        '*',
        '/rpc',
        `/webhook/${'x'.repeat(9000)}`,
      ),
    },
  )
  const body = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...bodies).map(text => Buffer.from(text)) },
    {
      weight: 3,
      arbitrary: fc
        .tuple(fc.constant(payload), edits(1))
        .map(([value, own]) => Buffer.from(edited(value, own))),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)) },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(
          '',
          '[',
          'null',
          '1',
          '"x"',
          '{"a":1,"a":2}',
          '\ufeff{}',
          '{"a":NaN}',
          '['.repeat(5000),
          `[${'1,'.repeat(30_000)}1]`,
          '{"__proto__":{"x":1}}',
        )
        .map(text => Buffer.from(text)),
    },
  )
  const signature = fc.constantFrom('right', 'other', 'cut', 'upper', 'twice', 'none', 'prefix', 'padded')
  const header = fc.constantFrom(
    'Content-Type: application/json',
    'Content-Type: application/json; charset=utf-16',
    'Content-Type: text/plain',
    'Content-Type: application/x-www-form-urlencoded',
    'Content-Type: application/cloudevents+json',
    'Content-Encoding: gzip',
    'X-Forgejo-Delivery: a',
    'X-Gitea-Delivery: a',
    'X-GitHub-Delivery: \u0001',
    'X-GitHub-Event: ping',
    'Expect: 100-continue',
    'Transfer-Encoding: identity',
    'Authorization: Bearer tok',
    'Authorization: Basic eDp5',
    'X-Gitlab-Token: tok',
    'X-Gitlab-Event: Push Hook',
    'webhook-id: a.b',
    'webhook-timestamp: 1e9',
    'webhook-signature: v1,AAAA',
    'ce-id: 1',
    'ce-source: x',
    'ce-type: y',
    'ce-specversion: 1.0',
    '__proto__: x',
    'X-Forwarded-For: 1.2.3.4',
    `X-Long: ${'x'.repeat(9000)}`,
  )
  return fc
    .record({
      path,
      method: fc.oneof(
        { weight: 9, arbitrary: fc.constant('POST') },
        { weight: 1, arbitrary: fc.constantFrom('GET', 'PUT', 'OPTIONS', 'DELETE', 'post', 'TRACE') },
      ),
      body,
      signature,
      more: fc.uniqueArray(header, { maxLength: 4, selector: text => text.split(':')[0] }),
    })
    .map(({ signature: kind, more, ...rest }) => {
      const own = sign(kind === 'other' ? Buffer.concat([rest.body, Buffer.from(' ')]) : rest.body)
      const value = {
        right: own,
        other: own,
        cut: own.slice(0, -1),
        upper: own.toUpperCase(),
        twice: own,
        prefix: `sha256=${own}`,
        padded: ` ${own} x`,
        none: '',
      }[kind as 'right']
      const headers =
        kind === 'none'
          ? []
          : [`X-Forgejo-Signature: ${value}`, ...(kind === 'twice' ? [`X-Forgejo-Signature: ${value}`] : [])]
      return {
        ...rest,
        headers: ['X-Forgejo-Event: push', 'X-Hub-Signature-256: sha256=' + own, ...headers, ...more],
      }
    })
}
