// The router in the foreground; with --demo it registers the tutorial and prints the lines to try.
import { existsSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { runProgram } from '../src/cli/program.ts'
import { programVersion } from '../src/contract/document.ts'
import { ExitError } from '../src/errors.ts'
import { serve, type Router } from '../src/main.ts'
import { salvage } from '../src/main/salvage.ts'
import { openTrial } from '../src/main/trial.ts'
import { defaultSocket, defaultStateDir } from '../src/paths.ts'
import { defaultToolRules } from '../src/main/default-tools.ts'
import { plain } from '../src/terminal-text.ts'
import { registerDemo } from './demo.ts'

const demo = process.argv.includes('--demo')
const argv = ['serve', ...process.argv.slice(2).filter(argument => argument !== '--demo')]
const stateDir = defaultStateDir(process.env)
if (existsSync(stateDir)) {
  process.env.NODE_COMPILE_CACHE ??= join(stateDir, 'compile-cache')
  enableCompileCache(process.env.NODE_COMPILE_CACHE)
}

function welcome(router: Router): void {
  console.log(
    `signalbox ${programVersion()} is ready\n  control socket  ${router.socket}\n  intake          ${router.intake}\n  state           ${router.config.state_dir}`,
  )
  if (router.admin !== undefined) console.log(`  admin           ${router.admin}`)
  if (router.paused !== null) console.log(`  paused          ${plain(router.paused)}`)
  if (!demo) return console.log('  try             scripts/start --demo, or scripts/signalbox --help')
  registerDemo(router).catch((error: unknown) => {
    console.error(`signalbox: the demo could not be registered: ${(error as Error).message}`)
  })
  return undefined
}

try {
  const options = {
    env: process.env,
    stateDir,
    socket: defaultSocket(process.env, stateDir),
    version: programVersion(),
  }
  process.exitCode = await runProgram(argv, {
    ...options,
    serve: flags => serve(process.env, flags, welcome),
    trial: async () => openTrial(Date.now),
    salvage: async () => salvage,
    toolRules: async () => defaultToolRules(),
  })
} catch (error) {
  if (!(error instanceof ExitError)) throw error
  console.error(`signalbox: ${error.message}`)
  process.exitCode = error.exitCode
}
