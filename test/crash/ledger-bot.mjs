// A bot that keeps its own books: it imports nothing of the product. Every attempt that it is sent is written, with fsync,
// before it is answered. What the event asks for it does at the first attempt that comes: it has no time, wants another one
// later, hangs up, says nothing at all, or refuses; then it does its work. arguments: ledger. Prints its port.
import { createHash } from 'node:crypto'
import { fsyncSync, openSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'

const retryAfterMs = 1000
const moods = {
  unavailable: response => response.writeHead(503).end(),
  later: response => response.writeHead(503, { 'retry-after': retryAfterMs / 1000 }).end(),
  'hangs up': response => response.destroy(),
  silent: () => undefined,
}
const met = new Set()
const ledger = openSync(process.argv[2], 'a')
createServer((request, response) => {
  const chunks = []
  request.on('data', chunk => chunks.push(chunk))
  request.on('end', () => {
    const { run, event } = JSON.parse(Buffer.concat(chunks).toString('utf8'))
    const { key, mood } = event.payload
    const sha256 = createHash('sha256').update(JSON.stringify(event.payload)).digest('hex')
    const answer =
      mood === 'refuses' ? () => response.writeHead(400).end() : met.has(run.id) ? undefined : moods[mood]
    met.add(run.id)
    const retry_after_ms = answer === moods.later ? retryAfterMs : undefined
    writeSync(
      ledger,
      `${JSON.stringify({ id: request.headers['webhook-id'], run: run.id, attempt: run.attempt, event: event.id, sha256, key, mood, at: Date.now(), done: answer === undefined, retry_after_ms })}\n`,
    )
    fsyncSync(ledger)
    if (answer === undefined) response.end('{}')
    else answer(response)
  })
}).listen(0, '127.0.0.1', function () {
  console.log(this.address().port)
})
