#!/usr/bin/env node
// The program: signalbox serve is the router, everything else its command line. The router is loaded only to serve.
import { existsSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { defaultSocket, defaultStateDir } from './paths.ts'

const stateDir = defaultStateDir(process.env)
// Compiled code is kept where only its owner writes: a shared directory could give us a file of another user. The variable is
// for the router's threads: with code from the cache none of them loads the type stripper, 45 MiB less in all.
if (existsSync(stateDir)) {
  process.env.NODE_COMPILE_CACHE ??= join(stateDir, 'compile-cache')
  enableCompileCache(process.env.NODE_COMPILE_CACHE)
}
const { runProgram } = await import('./cli/program.ts')
const { ExitError, exitCodes } = await import('./errors.ts')
const { plain } = await import('./terminal-text.ts')
const { default: manifest } = await import('../package.json', { with: { type: 'json' } })

// The reader may have closed the pipe (EPIPE).
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

/** What a person types to run this: the script of a clone, or the command of the package. */
const program = import.meta.filename.endsWith('.ts')
  ? join(import.meta.dirname, '../scripts/signalbox')
  : process.argv[1]!

async function serve({ demo, ...flags }: Record<string, unknown>): Promise<never> {
  const router = await import('./main.ts')
  return router.serve(process.env, flags, started => {
    const { socket, intake, admin, paused, config } = started
    const more = [
      ...(admin === undefined ? [] : [`admin           ${admin}`]),
      ...(paused === null ? [] : [`paused          ${plain(paused)}`]),
    ]
    const lines = [
      `control socket  ${socket}`,
      `intake          ${intake}`,
      `state           ${config.state_dir}`,
      ...more,
    ]
    console.log([`signalbox ${manifest.version} is ready`, ...lines].join('\n  '))
    if (demo !== true) return
    const registered = import('./main/demo.ts').then(({ registerDemo }) =>
      registerDemo(started, { program, env: process.env }),
    )
    registered.catch((error: unknown) => {
      console.error(`signalbox: the demo could not be registered: ${plain((error as Error).message, true)}`)
    })
  })
}

try {
  process.exitCode = await runProgram(process.argv.slice(2), {
    env: process.env,
    stateDir,
    socket: defaultSocket(process.env, stateDir),
    version: manifest.version,
    serve,
    trial: async () => (await import('./main/trial.ts')).openTrial(Date.now),
    salvage: async () => (await import('./main/salvage.ts')).salvage,
    toolRules: async () => (await import('./main/default-tools.ts')).defaultToolRules(),
  })
} catch (error) {
  const expected = error instanceof ExitError
  console.error(
    `signalbox: ${plain(expected ? error.message : `bug: ${error instanceof Error ? error.stack : String(error)}`, true)}`,
  )
  process.exitCode = expected ? error.exitCode : exitCodes.internal
}
