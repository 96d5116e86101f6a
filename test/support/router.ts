// A fresh router for a test: real store, real sockets, a directory of its own; gone when the test is over.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { SignalboxClient, type Methods } from '../../src/client/client.ts'
import { readConfig } from '../../src/config.ts'
import { startRouter, type Router } from '../../src/main.ts'

export interface TestRouter {
  router: Router
  client: SignalboxClient
  directory: string
  call: <M extends keyof Methods>(method: M, params: Methods[M]['params']) => Promise<Methods[M]['result']>
  /** delivers to the intake */
  post: (
    source: string,
    body: string | Uint8Array,
    headers?: Record<string, string>,
  ) => Promise<{ status: number; body: Record<string, unknown>; headers: Headers }>
}

/** A directory that only this test uses. Its path is short, so that sockets fit. */
export function freshDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sb-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export const quiet = {
  intake_address: '127.0.0.1:0',
  admin_address: '127.0.0.1:0',
  log_level: 'silent',
  disk_reserve_bytes: 0,
  rate_limit: 1_000_000,
  kill_grace_ms: 200,
  shutdown_grace_ms: 2000,
}

export function freshRouter(
  flags: Record<string, unknown> = {},
  env: Record<string, string> = {},
): Promise<TestRouter> {
  return routerIn(freshDirectory(), flags, env)
}

/** A router on what is in a directory. */
export async function routerIn(
  directory: string,
  flags: Record<string, unknown> = {},
  env: Record<string, string> = {},
): Promise<TestRouter> {
  const { stop, ...router } = await openedRouter(directory, flags, env)
  onTestFinished(stop)
  return router
}

/** A router for all tests of a file, which stops it in afterAll. */
export async function sharedRouter(): Promise<TestRouter & { stop: () => Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'sb-'))
  const opened = await openedRouter(directory)
  const stop = async (): Promise<void> => {
    await opened.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return { ...opened, stop }
}

async function openedRouter(
  directory: string,
  flags: Record<string, unknown> = {},
  env: Record<string, string> = {},
): Promise<TestRouter & { stop: () => Promise<void> }> {
  const fatal = (message: string): never => {
    throw new Error(`the storage failed: ${message}`)
  }
  const config = readConfig(
    { HOME: directory, ...env },
    { state_dir: directory, socket: join(directory, 'rpc.sock'), ...quiet, ...flags },
  )
  const router = await startRouter(config, { env: { HOME: directory, ...env }, onFatal: fatal })
  const client = await SignalboxClient.connect(router.socket)
  return {
    async stop() {
      client.close()
      await router.stop()
    },
    router,
    client,
    directory,
    call: (method, params) => client.call(method, params),
    async post(source, body, headers = {}) {
      const answer = await fetch(`${router.intake}/webhook/${source}`, {
        method: 'POST',
        body: body as never,
        headers: { 'content-type': 'application/json', ...headers },
      })
      return {
        status: answer.status,
        body: (await answer.json()) as Record<string, unknown>,
        headers: answer.headers,
      }
    },
  }
}

/** Asks until a condition holds; the test's own time limit is the bound. */
export async function until<T>(ask: () => Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** A run once it has ended or is dead. */
export function ended(router: TestRouter, run_id: string): Promise<Methods['run.get']['result']['run']> {
  return until(async () => {
    const { run } = await router.call('run.get', { run_id })
    return ['completed', 'failed', 'timed_out', 'cancelled'].includes(run.state) && run
  })
}
