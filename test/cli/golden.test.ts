// Triggers in files held against cases, without a router; and events that are saved as samples for them.
import fc from 'fast-check'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { redactedSample } from '../../src/sample-redaction.ts'
import { signalbox, type Ran } from '../support/command-line.ts'
import { freshDirectory, freshRouter } from '../support/router.ts'

const triggers = `triggers:
  - id: deploy-site
    event_source_id: forge
    filter: {type: [push], payload: {ref: [refs/heads/main]}}
    action: {bot_id: deployer, inputs: {ref: "{{ payload.ref }}", count: "{{ $count(payload.commits) }}"}}
  - id: nightly
    filter: {type: [tick]}
    action: {bot_id: deployer}
`
const sample = {
  source_id: 'forge',
  type: 'push',
  subject: 'acme/site',
  headers: {},
  payload: { ref: 'refs/heads/main', commits: [1, 2] },
}

interface Files {
  directory: string
  write: (name: string, text: string | object) => string
  run: (...args: string[]) => Promise<Ran>
}

function files(): Files {
  const directory = freshDirectory()
  mkdirSync(join(directory, 'samples'))
  const write = (name: string, text: string | object): string => {
    const path = join(directory, name)
    writeFileSync(path, typeof text === 'string' ? text : JSON.stringify(text))
    return path
  }
  write('triggers.yaml', triggers)
  write('samples/push.json', sample)
  return { directory, write, run: (...args) => signalbox({ directory }, ['test', '-f', directory, ...args]) }
}

describe('cases', () => {
  test('pass, offline', async () => {
    const { write, run } = files()
    write(
      'deploy.test.yaml',
      `cases:
  - name: a push to main
    event: samples/push.json
    expect:
      deploy-site: {matched: true, inputs: {ref: refs/heads/main, count: 2}}
      nightly: false
  - name: a push elsewhere
    event: {type: push, payload: {ref: refs/heads/next}}
    expect: {deploy-site: {matched: false}}
  - name: of another source
    event: {source_id: other, type: push, payload_file: samples/payload.json}
    expect: {deploy-site: false}
`,
    )
    write('samples/payload.json', sample.payload)
    write('more.test.json', { cases: [{ event: { type: 'tick' }, expect: { nightly: true } }] })
    expect(await run()).toEqual({
      code: 0,
      err: '',
      out: '✓ a push to main\n✓ a push elsewhere\n✓ of another source\n✓ case 1\n4 passed, 0 failed\n',
    })
  })

  test('fail leaf by leaf, with their place, exit code 1 and JUnit', async () => {
    const { directory, write, run } = files()
    const file = write(
      'deploy.test.yaml',
      `cases:
  - name: <main> & "co"
    event: {type: push, payload: {ref: refs/heads/next}}
    expect: {deploy-site: true}
  - name: not that
    event: samples/push.json
    expect: {deploy-site: {matched: false}}
  - name: other inputs
    event: samples/push.json
    expect: {deploy-site: {inputs: {ref: refs/heads/other, count: 2, more: [1]}}}
  - name: right
    event: samples/push.json
    expect: {deploy-site: true}
`,
    )
    const report = join(directory, 'out.xml')
    const { code, out, err } = await run('--junit', report)
    expect({ code, err }).toEqual({ code: 1, err: '' })
    expect(out).toBe(
      [
        `✗ <main> & "co"  ${file}:2:5`,
        `    deploy-site did not match, and should (${file}:4:27): 1 of 2 fields fails: payload.ref`,
        '      ✗ payload.ref "refs/heads/main"   found "refs/heads/next"',
        '      ✓ type "push"   found "push"',
        `✗ not that  ${file}:5:5`,
        `    deploy-site matched, and should not (${file}:7:27): every condition holds`,
        '      ✓ payload.ref "refs/heads/main"   found "refs/heads/main"',
        '      ✓ type "push"   found "push"',
        `✗ other inputs  ${file}:8:5`,
        `    deploy-site matched with other inputs (${file}:10:27)`,
        '      inputs.ref: expected "refs/heads/other", found "refs/heads/main"',
        '      inputs.more: expected [1], found nothing',
        '✓ right',
        '1 passed, 3 failed',
        '',
      ].join('\n'),
    )
    const xml = readFileSync(report, 'utf8')
    expect(xml).toContain(`<testsuite name="${file}" tests="4" failures="3">`)
    expect(xml).toContain('<testcase name="&lt;main&gt; &amp; &quot;co&quot;"')
    expect(xml.match(/<failure message="deploy-site /g)).toHaveLength(3)
    expect(xml.match(/<testcase name="right"[^>]*\/>/g)).toHaveLength(1)
    const lines = (await run('--json')).out.trim().split('\n')
    expect(lines.map(line => (JSON.parse(line) as { passed: boolean }).passed)).toEqual([
      false,
      false,
      false,
      true,
    ])
  })

  test('that cannot be read are refused with their place', async () => {
    const { write, run, directory } = files()
    expect(await run()).toMatchObject({
      code: 64,
      err: expect.stringContaining('has no test cases') as string,
    })
    const refused = async (text: string): Promise<string> => {
      const path = write('a.test.yaml', text)
      const { code, err } = await run()
      expect(code).toBe(64)
      return err.replace('signalbox: ', '').replace(path, '')
    }
    const one = (rest: string): string => `cases:\n  - {name: x, ${rest}}\n`
    expect(await refused(one('event: samples/push.json, expect: {deploy: true}'))).toBe(
      ':2:58 there is no trigger deploy in these files; there is deploy-site, nightly\n',
    )
    expect(await refused(one('event: samples/none.json, expect: {nightly: true}'))).toBe(
      `${join(directory, 'samples/none.json')} cannot be read (ENOENT): it does not exist\n`,
    )
    expect(await refused(one('event: {typ: push}, expect: {nightly: true}'))).toBe(
      ':2:22 event.typ must be a known key (id, source_id, type, subject, actor, thread, timestamp, headers, payload); found "typ"; did you mean "type"?\n',
    )
    expect(await refused(one('expect: {nightly: true}'))).toBe(
      ':2:5 event is required: a file, or the event itself\n',
    )
    expect(await refused(one('event: {type: x}'))).toContain(':2:5 expect is required')
    expect(await refused(one('event: {type: x}, expect: {nightly: {matched: 1}}'))).toContain(
      'matched is true or false',
    )
    expect(await refused(one('event: {type: x}, expect: {nightly: {match: true}}'))).toContain(
      'what is expected of nightly: match must be a known key (matched, inputs); found "match"; did you mean "matched"?',
    )
    expect(await refused(one('event: {type: x}, expect: {nightly: {matched: false, inputs: {}}}'))).toContain(
      'a trigger that does not match has no inputs',
    )
    expect(await refused('case: []\n')).toBe(
      ':1:1 a file of cases: case must be a known key (cases); found "case"; did you mean "cases"?\n',
    )
    expect(await refused('cases: {}\n')).toBe(':1:8 cases is a list\n')
    write('a.test.yaml', one('event: {type: x}, expect: {nightly: true}'))
    write('triggers.yaml', triggers.replace('type: [tick]', 'type: [{prefx: t}]'))
    expect((await run()).err).toMatch(
      /triggers\.yaml:7:\d+ triggers\.1\.filter\.type is refused: "prefx" is no operator/,
    )
    expect(await run('--event', 'last')).toMatchObject({
      code: 64,
      err: expect.stringContaining('--file and --junit are for cases') as string,
    })
  })
})

test('an event that is saved is a sample, without its secrets', async () => {
  const router = await freshRouter()
  const { directory } = router
  await router.call('source.put', {
    source: { id: 'forge', source_type: 'webhook', config: { provider: 'none' } },
  })
  const payload = {
    ref: 'refs/heads/main',
    secret: 'canary-1',
    clone_url: 'https://me:canary-2@forge/x.git',
    note: 'see ?access_token=canary-3&x=1',
    commits: [{ token: 'canary-4' }],
  }
  await router.post('forge', JSON.stringify(payload), {
    'x-event-type': 'push',
    authorization: 'Bearer canary-5',
  })
  mkdirSync(join(directory, 'samples'))
  const file = join(directory, 'samples', 'push.json')
  const saved = await signalbox(router, ['events', 'save', 'last', file])
  expect(saved).toMatchObject({
    code: 0,
    out: `${file}, without payload.secret, payload.clone_url, payload.note, payload.commits.token\n`,
  })
  const text = readFileSync(file, 'utf8')
  expect(text).not.toContain('canary')
  expect(JSON.parse(text)).toMatchObject({
    source_id: 'forge',
    type: 'push',
    payload: {
      ref: 'refs/heads/main',
      clone_url: 'https://***@forge/x.git',
      note: 'see ?access_token=***&x=1',
    },
  })
  expect(await signalbox(router, ['events', 'save', 'last', file])).toMatchObject({
    code: 64,
    err: expect.stringContaining('--force') as string,
  })
  expect((await signalbox(router, ['events', 'save', 'last', file, '--force'])).code).toBe(0)
  expect(JSON.parse((await signalbox(router, ['events', 'save', 'last', '-'])).out)).toMatchObject({
    type: 'push',
  })
  writeFileSync(join(directory, 't.yaml'), triggers)
  writeFileSync(
    join(directory, 't.test.yaml'),
    'cases: [{event: samples/push.json, expect: {deploy-site: {inputs: {ref: refs/heads/main, count: 1}}}}]\n',
  )
  expect(await signalbox(router, ['test', '-f', directory])).toMatchObject({
    code: 0,
    out: '✓ case 1\n1 passed, 0 failed\n',
  })
  expect(existsSync(join(directory, 'samples'))).toBe(true)
  expect(statSync(file).size).toBeGreaterThan(100)
})

test('what is left out of samples: secrets by their names and their looks, and nothing else', () => {
  const of = (value: unknown): unknown => redactedSample(value).value
  expect(of({ api_key: 'x', Password: 'y', sender: { login: 'me', tokens: 5, empty_token: '' } })).toEqual({
    api_key: '***',
    Password: '***',
    sender: { login: 'me', tokens: 5, empty_token: '' },
  })
  expect(of('a ghp_abcdefghijklmnop1234 b')).toBe('a ghp_*** b')
  expect(of('-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nrest')).toBe('***\nrest')
  expect(of('Authorization: Bearer abcdefghij')).toBe('Authorization: Bearer ***')
  expect(of('https://forge.example/acme/site?x=1')).toBe('https://forge.example/acme/site?x=1')
  const plainJson = fc
    .jsonValue({ maxDepth: 4 })
    .filter(
      value => !/secret|pass|token|auth|cookie|cred|key|sign|bearer|basic|:\/\//i.test(JSON.stringify(value)),
    )
  const unchanged = fc.property(plainJson, value => {
    expect(redactedSample(value)).toEqual({ value, paths: [] })
  })
  fc.assert(unchanged)
})
