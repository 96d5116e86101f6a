// A bot for the benchmark: tells on standard output how long ago each event was sent (payload.sent_at, ms since the epoch).
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const text = Buffer.concat(chunks).toString('latin1')
    const sent = Number(/"sent_at":([\d.]+)/.exec(text)?.[1])
    process.stdout.write(`${(performance.timeOrigin + performance.now() - sent).toFixed(3)}\n`)
    response.end('{}')
  })
})
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
