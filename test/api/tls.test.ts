// TLS of the admin listener: its files, and that they can be replaced while it runs.
import { spawn } from 'node:child_process'
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { bearer, callOf, environmentToken, listening } from '../support/admin.ts'
import { certificate, hasOpenssl, type Certificate } from '../support/certificate.ts'
import { freshDirectory, freshRouter, until } from '../support/router.ts'

if (!hasOpenssl) console.log('SKIPPED: openssl is not installed, TLS was not tried')

/** Asks over TLS; answers the status and the name in the certificate. */
function asked(admin: string, ca: string): Promise<{ status: number; name: string }> {
  return new Promise((resolve, reject) => {
    const headers = { ...bearer, connection: 'close' }
    const asking = request(
      {
        host: '127.0.0.1',
        port: new URL(admin).port,
        method: 'POST',
        path: '/rpc',
        ca: readFileSync(ca),
        headers,
        agent: false,
      },
      response => {
        const { subject }: PeerCertificate = (response.socket as TLSSocket).getPeerCertificate()
        response.resume()
        response.on('end', () => resolve({ status: response.statusCode!, name: String(subject.CN) }))
      },
    )
    asking.on('error', reject)
    asking.end(callOf('rpc.health'))
  })
}

describe.skipIf(!hasOpenssl)('with a certificate', () => {
  test('the listener speaks TLS alone', async () => {
    const tls = certificate(freshDirectory(), 'first')
    const { admin } = await listening({ tls })
    expect(admin).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    expect(await asked(admin, tls.cert)).toEqual({ status: 200, name: 'first' })
    await expect(fetch(admin.replace('https', 'http'))).rejects.toThrow('fetch failed')
    await expect(asked(admin, certificate(freshDirectory(), 'other').cert)).rejects.toThrow(/certificate/)
  })

  test('a new pair counts after a reload; half of one does not, nor does rubbish', async () => {
    const directory = freshDirectory()
    const [tls, next] = [certificate(directory, 'first'), certificate(directory, 'second')]
    const { admin, router } = await listening({ tls })
    copyFileSync(next.cert, tls.cert)
    await router.reload()
    // The first certificate is still sent; its file is gone, so it is trusted by what was kept of it.
    await expect(asked(admin, next.cert)).rejects.toThrow(/certificate/)
    writeFileSync(tls.key, 'rubbish')
    await router.reload()
    await expect(asked(admin, next.cert)).rejects.toThrow(/certificate/)
    copyFileSync(next.key, tls.key)
    await router.reload()
    expect(await asked(admin, next.cert)).toEqual({ status: 200, name: 'second' })
  })

  test.each([
    [
      'a key of another certificate',
      (files: Certificate, other: Certificate) => ({ ...files, key: other.key }),
      /are no certificate in PEM with the key that belongs to it/,
    ],
    [
      'a file that is not there',
      (files: Certificate) => ({ ...files, cert: '/nonexistent/cert' }),
      /\/nonexistent\/cert cannot be read/,
    ],
    [
      'a key that others can read',
      (files: Certificate) => {
        chmodSync(files.key, 0o644)
        return files
      },
      /can be read by others; chmod 600 it/,
    ],
  ])('%s: exit code 78', async (_name, files, message) => {
    const directory = freshDirectory()
    const tls = files(certificate(directory, 'first'), certificate(directory, 'second'))
    await expect(freshRouter({ tls }, { SIGNALBOX_ADMIN_TOKEN: environmentToken })).rejects.toMatchObject({
      exitCode: 78,
      message: expect.stringMatching(message) as string,
    })
  })

  test('SIGHUP reads it again, and ends nothing', { timeout: 60_000 }, async () => {
    const directory = freshDirectory()
    const [tls, next] = [certificate(directory, 'first'), certificate(directory, 'second')]
    const config = join(directory, 'config.json')
    writeFileSync(
      config,
      JSON.stringify({
        tls,
        intake_address: '127.0.0.1:0',
        admin_address: '127.0.0.1:0',
        state_dir: join(directory, 'state'),
      }),
    )
    const env = {
      PATH: process.env.PATH,
      HOME: directory,
      SIGNALBOX_SOCKET: join(directory, 's'),
      SIGNALBOX_ADMIN_TOKEN: environmentToken,
    }
    const router = spawn(
      process.execPath,
      ['src/signalbox.ts', 'serve', '--config', config, '--log-level', 'silent'],
      {
        env,
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
    onTestFinished(() => void router.kill('SIGKILL'))
    let admin: string | undefined
    for await (const line of createInterface(router.stdout)) {
      admin = /admin\s+(https:\S+)/.exec(line)?.[1]
      if (admin !== undefined) break
    }
    expect(await asked(admin!, tls.cert)).toEqual({ status: 200, name: 'first' })
    for (const part of ['cert', 'key'] as const) copyFileSync(next[part], tls[part])
    router.kill('SIGHUP')
    await until(async () => (await asked(admin!, next.cert).catch(() => undefined))?.name === 'second')
    expect(router.exitCode).toBeNull()
  })
})
