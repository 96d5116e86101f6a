// docs/admin.md, followed by hand: its commands against a router, and its configuration.
import { execFile, spawnSync } from 'node:child_process'
import { readFileSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { blocksOf } from '../support/documents.ts'
import { freshDirectory, freshRouter } from '../support/router.ts'

const page = readFileSync('docs/admin.md', 'utf8')
const blocks = (language: string): string[] => blocksOf(page, language)

/** A directory with the command signalbox. */
function withSignalbox(directory: string): string {
  symlinkSync(resolve('scripts/signalbox'), join(directory, 'signalbox'))
  return directory
}

/** Whether this machine has what the page uses. */
const hasCurl = spawnSync('curl', ['--version']).status === 0

test.skipIf(!hasCurl)('its commands work as they are written', async () => {
  const [create, call, ui, logins, health, stream, audit, make] = blocks('sh')
  const directory = freshDirectory()
  const [file, adminFile] = ['token', 'admin'].map(name => join(directory, name))
  const run = async (command: string, env: Record<string, string> = {}): Promise<string> =>
    (
      await promisify(execFile)('/bin/sh', ['-ec', command], {
        env: { PATH: process.env.PATH, TOKEN_FILE: file, ADMIN_TOKEN_FILE: adminFile, ...env },
      })
    ).stdout
  await run(make!)
  const { router } = await freshRouter({}, { SIGNALBOX_ADMIN_TOKEN_FILE: adminFile! })
  const ADMIN = router.admin!
  const PATH = `${withSignalbox(directory)}:${process.env.PATH}`
  const socket = { PATH, SIGNALBOX_SOCKET: router.socket }
  await run(create!, socket)
  expect(readFileSync(file!, 'utf8')).toMatch(/^sbx_api_\w{46}\n$/)
  expect(await run(stream!, { ADMIN })).toContain('event: ready\ndata: {"topics":["events","runs"]}')
  expect(await run(ui!, socket)).toMatch(
    /^http:\/\/signalbox\.localhost:\d+\/#login=[\w-]{22}\nThe link works once/,
  )
  expect(await run(logins!, socket)).toBe('no logins; signalbox ui prints a link\n')
  expect(await run(audit!, socket)).toMatch(/local +socket +token.create +\w{8} +done/)
  expect(JSON.parse(await run(call!, { ADMIN }))).toEqual({ jsonrpc: '2.0', id: 1, result: { runs: [] } })
  expect(JSON.parse(await run(health!, { ADMIN }))).toEqual({ status: 'ok' })
})

test('its configuration is one', () => {
  const [proxies, hosts, frames] = blocks('json').map(block =>
    readConfig({ HOME: '/' }, JSON.parse(block) as Record<string, unknown>),
  )
  expect(proxies).toMatchObject({ forward_auth: { roles: { ops: 'operator' } } })
  expect(hosts).toMatchObject({ admin_hosts: ['signalbox.example.org'] })
  expect(frames).toMatchObject({
    frame_ancestors: ['https://term.example.org', 'http://signalbox.localhost:7681'],
  })
})
