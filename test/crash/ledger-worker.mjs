// A worker that keeps its own books: it imports nothing of the product. Before it begins a run, and once the router has
// taken its completion, it writes a line with fsync. arguments: ledger, socket path, bot, name of this worker
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

const [, , ledgerPath, path, bot_id, name] = process.argv
const ledger = openSync(ledgerPath, 'a')
const note = entry => {
  writeSync(ledger, `${JSON.stringify({ worker: name, ...entry })}\n`)
  fsyncSync(ledger)
}
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

/** One connection; a call that gets no answer because it broke answers undefined. */
async function dial() {
  const socket = connect(path)
  const waiting = new Map()
  let next = 1
  let alive = true
  socket.on('error', () => undefined)
  socket.on('close', () => {
    alive = false
    for (const resolve of waiting.values()) resolve(undefined)
  })
  const lines = createInterface(socket)
  lines.on('error', () => undefined)
  lines.on('line', line => {
    const { id, result, error } = JSON.parse(line)
    waiting.get(id)?.({ result, error })
    waiting.delete(id)
  })
  const call = (method, params) =>
    new Promise(resolve => {
      if (!alive) return resolve(undefined)
      waiting.set(next, resolve)
      return socket.write(`${JSON.stringify({ jsonrpc: '2.0', id: next++, method, params })}\n`)
    })
  return { call, isAlive: () => alive }
}

let line = await dial()
/** Until it is answered: the router may be killed and come again. */
async function call(method, params) {
  for (;;) {
    const answer = await line.call(method, params)
    if (answer !== undefined && answer.error?.code !== -32010 && answer.error?.code !== -32007) return answer
    await pause(50)
    if (!line.isAlive()) line = await dial()
  }
}

process.on('SIGTERM', () => {
  closeSync(ledger)
  process.exit(0)
})
console.log('ready')
for (;;) {
  const { result } = await call('run.claim', { bot_id, wait_ms: 500 })
  for (const { run_id, lease_token, delivery } of result?.leases ?? []) {
    const own = { run_id, lease_token }
    const started = await call('run.start', own)
    if (started.error !== undefined) continue
    note({ began: run_id, n: delivery.event.payload.n })
    await pause(Math.random() * 40)
    const done = await call('run.complete', { ...own, result: { by: name } })
    // The same completion twice is answered the same: whoever asks again after a broken connection is not refused.
    note(done.error === undefined ? { completed: run_id } : { lost: run_id, code: done.error.code })
  }
}
