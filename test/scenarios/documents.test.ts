// README and docs: short, without dead links, and the README's example does what it says.
import { execFile, spawn, spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { signalbox } from '../support/command-line.ts'
import { blocksOf } from '../support/documents.ts'
import { freshRouter } from '../support/router.ts'
import { until } from '../support/router.ts'

const documents = [...globSync('*.md'), ...globSync('docs/**/*.md')].toSorted()
const read = (file: string): string => readFileSync(file, 'utf8')

/** The anchor of a heading, as forges make it. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[`*]/g, '')
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-')
}

function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading!))
}

/** Links of a document to a file or a heading that does not exist. */
function deadLinks(file: string, text: string): string[] {
  const links = [...text.replaceAll(/```[\s\S]*?```/g, '').matchAll(/\]\(([^)\s]+)\)/g)].map(
    ([, link]) => link!,
  )
  return links
    .filter(link => !/^[a-z]+:/.test(link))
    .filter(link => {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? file : join(dirname(file), path)
      if (!existsSync(target)) return true
      return anchor !== undefined && !anchors(read(target)).includes(anchor)
    })
    .map(link => `${file}: ${link}`)
}

describe('links', () => {
  test('of all documents lead somewhere', () => {
    expect(documents.length).toBeGreaterThan(15)
    expect(documents.flatMap(file => deadLinks(file, read(file)))).toEqual([])
  })

  test('control: a dead file and a dead heading are found', () => {
    expect(deadLinks('README.md', '[a](docs/none.md) [b](docs/page.md#none) [c](docs/page.md)')).toEqual([
      'README.md: docs/none.md',
      'README.md: docs/page.md#none',
    ])
  })
})

describe('the README', () => {
  const blocks = (language: string): string[] => blocksOf(read('README.md'), language)

  test('has at most 9 KB', () => {
    expect(Buffer.byteLength(read('README.md'))).toBeLessThanOrEqual(9216)
  })

  test('its example starts a bot with the JSON that it shows', async () => {
    const router = await freshRouter()
    const echo = join(router.directory, 'review.yaml')
    writeFileSync(echo, blocks('yaml')[0]!.replace(/argv: \[[^\]]*\]/, 'argv: [/bin/cat]'))
    expect(await signalbox(router, ['apply', '-f', echo])).toMatchObject({ code: 0, err: '' })
    const shown = JSON.parse(blocks('json')[0]!) as {
      event: { payload: object; actor: string; thread: string }
    }
    const { payload, actor, thread } = shown.event
    const more = { ...payload, repository: { full_name: 'acme/site' } }
    const { runs } = await router.call('event.emit', {
      source_id: 'forge',
      type: 'pull_request',
      payload: more,
      actor,
      thread,
    })
    const run_id = runs[0]!
    await until(async () => (await router.call('run.get', { run_id })).run.state === 'completed')
    const { parts } = await router.call('run.output', { run_id })
    const given = JSON.parse(parts.map(({ text }) => text ?? '').join('')) as Record<string, object>
    expect(Object.keys(given)).toEqual(Object.keys(shown))
    expect(given).toMatchObject({ event: { actor, thread }, inputs: { repository: 'acme/site', number: 12 } })
  })

  test('its explanation is the one that is printed', async () => {
    const router = await freshRouter()
    const file = join(router.directory, 'review.yaml')
    writeFileSync(file, blocks('yaml')[0]!)
    await signalbox(router, ['apply', '-f', file])
    await router.call('event.emit', {
      source_id: 'forge',
      type: 'pull_request',
      payload: { action: 'opened', pull_request: { draft: true } },
    })
    const { out } = await signalbox(router, ['explain', 'last', 'review-pull-requests'])
    const shown = read('README.md').match(/explain last review-pull-requests\n([\s\S]*?)```/)![1]!
    for (const line of shown.trim().split('\n')) expect(out).toContain(line)
  })
})

const hasPython = spawnSync('python3', ['--version']).status === 0

test.skipIf(!hasPython)('the worker in Python of docs/bots.md does runs', async () => {
  const router = await freshRouter()
  const file = join(router.directory, 'worker.py')
  writeFileSync(file, blocksOf(read('docs/bots.md'), 'python')[0]!)
  await router.call('bot.put', { bot: { id: 'counter', endpoint: { kind: 'pull' } } })
  await router.call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await router.call('trigger.put', {
    trigger: {
      id: 't',
      filter: { type: ['job'] },
      action: { bot_id: 'counter', inputs: { n: '{{ payload.n }}' } },
    },
  })
  const child = spawn('python3', [file, router.router.socket, 'counter'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const { runs } = await router.call('event.emit', { source_id: 'jobs', type: 'job', payload: { n: 7 } })
  await until(async () => (await router.call('run.get', { run_id: runs[0]! })).run.state === 'completed')
  expect((await router.call('run.get', { run_id: runs[0]! })).run.result).toEqual({ done: { n: 7 } })
})

test('the commands of docs/getting-started.md work one after the other', async () => {
  const router = await freshRouter()
  const directory = join(router.directory, 'work')
  mkdirSync(directory)
  symlinkSync(resolve('scripts/signalbox'), join(directory, 'signalbox'))
  const text = read('docs/getting-started.md').replaceAll(/<!-- not run: [^>]*-->\n```sh[\s\S]*?```/g, '')
  const commands = blocksOf(text, 'sh')
  const env = {
    PATH: `${directory}:${process.env.PATH}`,
    SIGNALBOX_SOCKET: router.router.socket,
    HOME: directory,
  }
  const outputs: string[] = []
  for (const command of commands) {
    const { stdout } = await promisify(execFile)('/bin/sh', ['-ec', command], { cwd: directory, env })
    outputs.push(stdout)
  }
  expect(outputs).toHaveLength(6)
  expect(outputs[0]).toContain('3 created')
  expect(outputs[1]).toMatch(/greet-urgent[\s\S]*hello from [0-9a-f-]{36}/)
  expect(outputs[2]).toMatch(/did not match: .*payload\.urgent/)
  expect(outputs[3]).toContain('matched: every condition holds')
  expect(outputs[4]).toContain('2')
  expect(outputs[5]).toContain('router')
})
