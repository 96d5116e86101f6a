// docs/admin.md, followed by hand: its commands against a router, and its configuration.
import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { freshDirectory, freshRouter } from '../support/router.ts'

const page = readFileSync('docs/admin.md', 'utf8')
const blocks = (language: string): string[] => [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(match => match[1]!)

/** Whether this machine has what the page uses. */
const hasCurl = spawnSync('curl', ['--version']).status === 0

test.skipIf(!hasCurl)('its commands work as they are written', async () => {
  const [make, call, health] = blocks('sh')
  const file = join(freshDirectory(), 'token')
  const run = async (command: string, env: Record<string, string> = {}): Promise<string> =>
    (await promisify(execFile)('/bin/sh', ['-ec', command], { env: { PATH: process.env.PATH, TOKEN_FILE: file, ...env } })).stdout
  await run(make!)
  const { router } = await freshRouter({ admin_address: '127.0.0.1:0' }, { SIGNALBOX_ADMIN_TOKEN_FILE: file })
  const ADMIN = router.admin!
  expect(JSON.parse(await run(call!, { ADMIN }))).toEqual({ jsonrpc: '2.0', id: 1, result: { runs: [] } })
  expect(JSON.parse(await run(health!, { ADMIN }))).toEqual({ status: 'ok' })
})

test('its configuration is one', () => {
  const [config] = blocks('json')
  expect(readConfig({ HOME: '/' }, JSON.parse(config!) as Record<string, unknown>)).toMatchObject({ admin_hosts: ['signalbox.example.org'] })
})
