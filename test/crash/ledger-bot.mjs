// A bot that keeps its own books: it imports nothing of the product. Every attempt that it is sent is written, with fsync,
// before it is answered. arguments: ledger. Prints its port.
import { createHash } from 'node:crypto'
import { fsyncSync, openSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'

const ledger = openSync(process.argv[2], 'a')
createServer((request, response) => {
  const chunks = []
  request.on('data', chunk => chunks.push(chunk))
  request.on('end', () => {
    const body = Buffer.concat(chunks).toString('utf8')
    const { run, event } = JSON.parse(body)
    const payload = JSON.stringify(event.payload)
    writeSync(
      ledger,
      `${JSON.stringify({ webhook_id: request.headers['webhook-id'], run: run.id, attempt: run.attempt, event: event.id, id: event.payload.id, sha256: createHash('sha256').update(payload).digest('hex'), at: Date.now() })}\n`,
    )
    fsyncSync(ledger)
    response.end('{}')
  })
}).listen(0, '127.0.0.1', function () {
  console.log(this.address().port)
})
