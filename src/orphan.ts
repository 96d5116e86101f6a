// Ends a child process whose router is gone. The channel to the router says so as well, but only when the event loop turns: a
// child whose main thread is in an endless expression would keep a processor busy for as long as the machine runs.
import { Worker } from 'node:worker_threads'

const periodMs = 500

/** Looks for another parent than the first one, in a thread of its own. */
const watch = `
const { workerData } = require('node:worker_threads')
setInterval(() => { if (process.ppid !== workerData.parent) process.kill(process.pid, 'SIGKILL') }, workerData.periodMs)`

/** Lets this process be killed at most half a second after its parent ended, whatever its main thread does. */
export function endWithParent(): void {
  new Worker(watch, { eval: true, workerData: { parent: process.ppid, periodMs } }).unref()
}
