// Children that compute without end when their router is killed.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'

const endless = { sources: ['($f := function($n) { $f($n + 1) }; $f(0))'], scope: '1' }
const exponential = {
  schema: JSON.stringify({ pattern: '^(a+)+$' }),
  payload: JSON.stringify(`${'a'.repeat(40)}!`),
}

/** A process that forks a child, gives it an order, and prints the child's id. */
const parent = (path: string, order: object): string => `
import { fork } from 'node:child_process'
const child = fork(${JSON.stringify(path)}, [], { execArgv: [], stdio: 'ignore', env: {} })
child.once('message', () => child.send(${JSON.stringify(order)}, () => console.log(child.pid)))
setInterval(() => {}, 1000)`

/** Whether a process still runs; one that ended may stay in the list of processes until somebody asks how. */
function runs(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
}

/** Processor time that a process has used, in ticks of 10 ms. */
function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return Number(fields[11])
}

test.each([
  ['src/routing/expression-process.ts', endless],
  ['src/definitions/schema-process.ts', exponential],
])('%s ends although it computes without end', { timeout: 60_000 }, async (path, order) => {
  const router = spawn(process.execPath, ['--input-type=module', '-e', parent(path, order)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: router.stdout })
  const [line] = await new Promise<string[]>(resolve => lines.once('line', text => resolve([text])))
  const pid = Number(line)
  onTestFinished(() => {
    router.kill('SIGKILL')
    if (runs(pid)) process.kill(pid, 'SIGKILL')
  })
  // It has begun with its order: half a second of processor time is more than a start takes.
  const begun = ticks(pid)
  while (ticks(pid) - begun < 50) await pause(20)
  router.kill('SIGKILL')
  const until = performance.now() + 30_000
  while (runs(pid) && performance.now() < until) await pause(20)
  expect(runs(pid)).toBe(false)
})
