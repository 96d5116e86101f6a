// What the benchmarks share: percentiles, processes, a pipelining client that costs little, and tables.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface Measured {
  per_second: number
  p50_ms: number
  p99_ms: number
}

export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

export function median(values: readonly number[]): number {
  return percentile(
    values.toSorted((a, b) => a - b),
    0.5,
  )
}

/** Calls work so many times, so many at once, and measures it. */
export async function load(
  total: number,
  inFlight: number,
  work: (index: number) => Promise<unknown>,
): Promise<Measured> {
  const times: number[] = []
  let next = 0
  const begun = performance.now()
  const lane = async (): Promise<void> => {
    while (next < total) {
      const index = next++
      const started = performance.now()
      await work(index)
      times.push(performance.now() - started)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  const seconds = (performance.now() - begun) / 1000
  times.sort((a, b) => a - b)
  return {
    per_second: Math.round(total / seconds),
    p50_ms: percentile(times, 0.5),
    p99_ms: percentile(times, 0.99),
  }
}

/** The run with the median rate of several. */
export async function medianOf(rounds: number, run: () => Promise<Measured>): Promise<Measured> {
  const all: Measured[] = []
  for (let round = 0; round < rounds; round++) all.push(await run())
  return all.toSorted((a, b) => a.per_second - b.per_second)[Math.floor(rounds / 2)]!
}

const cleaners: (() => void)[] = []
process.on('exit', () => {
  for (const clean of cleaners) clean()
})

export function freshDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sb-bench-'))
  cleaners.push(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Starts a program of ours as a process of its own, a script with the Node that runs this; ready with its first line. */
export async function startProcess(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ child: ChildProcess; line: string; ms: number }> {
  const begun = performance.now()
  const [program = '', rest] = args[0]!.endsWith('.ts') ? [process.execPath, args] : [args[0], args.slice(1)]
  const child = spawn(program, rest, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
  })
  cleaners.push(() => child.kill('SIGKILL'))
  const line = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).once('line', resolve)
    child.once('exit', code => reject(new Error(`${args.join(' ')} ended with ${code}`)))
  })
  return { child, line, ms: performance.now() - begun }
}

/** Processor seconds (user and system) and resident MiB of a process, from /proc. */
export function processCost(pid: number): { cpu_s: number; rss_mib: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0'
  return { cpu_s: (Number(fields[11]) + Number(fields[12])) / 100, rss_mib: Number(rss) / 1024 }
}

export function table(title: string, head: string[], rows: string[][]): void {
  const widths = head.map((text, column) => Math.max(text.length, ...rows.map(row => row[column]!.length)))
  const line = (cells: string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`
  console.log(`\n${title}\n${line(head)}\n|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`)
  for (const row of rows) console.log(line(row))
}

export const ms = (value: number): string => value.toFixed(value < 10 ? 2 : 1)
export const ratio = (value: number, floor: number): string => `${(value / floor).toFixed(2)} x`
