// The thread of a backtest. It steps back first, before it loads what it needs (60 ms of a processor): intake and
// delivery go first.
import { readlinkSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import type { BacktestStart } from './run.ts'

try {
  // To Linux a thread is a process of its own, with a number and a priority.
  setPriority(
    Number(readlinkSync('/proc/thread-self').split('/').pop()),
    constants.priority.PRIORITY_BELOW_NORMAL,
  )
} catch {
  // Elsewhere threads share the processor as they are.
}

const { run } = await import('./run.ts')
run(workerData as BacktestStart, message => parentPort!.postMessage(message))
