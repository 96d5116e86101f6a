// A sender that keeps its own books: it imports nothing of the product. Every event is written into its ledger before it
// is sent, and every answer when it has come, each with fsync. What had no answer, or 5xx, is sent again under its id.
// arguments: ledger, target (http URL or socket path), prefix of ids, senders. Reads "stop" on standard input.
import { createHash, createHmac } from 'node:crypto'
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { request, Agent } from 'node:http'

const [, , ledgerPath, target, prefix, senders, secret] = process.argv
const ledger = openSync(ledgerPath, 'a')
const note = entry => {
  writeSync(ledger, `${JSON.stringify(entry)}\n`)
  fsyncSync(ledger)
}
const stopping = new AbortController()
process.stdin.on('data', () => stopping.abort())
process.stdin.on('end', () => stopping.abort())
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))
const agent = new Agent({ keepAlive: true })

function sendHttp(id, body) {
  return new Promise(resolve => {
    const signature = createHmac('sha256', secret).update(body).digest('hex')
    const headers = {
      'content-type': 'application/json',
      'x-forgejo-event-type': 'push',
      'x-forgejo-delivery': id,
      'x-forgejo-signature': signature,
    }
    const sent = request(target, { method: 'POST', agent, headers, timeout: 5000 }, answer => {
      let text = ''
      answer.on('data', chunk => (text += chunk))
      answer.on('end', () => resolve({ status: answer.statusCode, text }))
      answer.on('error', () => resolve({ status: 0 }))
    })
    sent.on('error', () => resolve({ status: 0 }))
    sent.on('timeout', () => sent.destroy())
    sent.end(body)
  })
}

function sendLine(id, body) {
  return new Promise(resolve => {
    const socket = connect(target)
    let text = ''
    socket.setTimeout(5000, () => socket.destroy())
    socket.on('error', () => resolve({ status: 0 }))
    socket.on('close', () => resolve({ status: 0 }))
    socket.on('connect', () =>
      socket.write(
        `{"jsonrpc":"2.0","id":"${id}","method":"event.emit","params":{"source_id":"local","type":"push","idempotency_key":"${id}","payload":${body}}}\n`,
      ),
    )
    socket.on('data', chunk => {
      text += chunk
      if (!text.endsWith('\n')) return
      const answer = JSON.parse(text)
      resolve({
        status: answer.error === undefined ? 202 : answer.error.code,
        text: JSON.stringify(answer.result ?? answer.error),
      })
      socket.destroy()
    })
  })
}

const send = target.startsWith('http') ? sendHttp : sendLine
/** What a bot is to do with an event at first, of every so many; the others it does. */
const each = 60
const moods = { 7: 'unavailable', 17: 'later', 27: 'hangs up', 37: 'silent', 47: 'refuses' }
/** Answers of a router that has no room or is about to stop: it is asked again, as it is where there was none. */
const notNow = [0, 503, -32005, -32007, -32010]
let next = 0
async function sender(lane) {
  while (!stopping.signal.aborted) {
    const n = next++
    const delivery_id = `${prefix}-${lane}-${n}`
    const body = JSON.stringify({
      id: delivery_id,
      key: n % 8,
      mood: moods[n % each],
      text: 'x'.repeat(200 + ((n * 37) % 3000)),
    })
    note({ delivery_id, sha256: createHash('sha256').update(body).digest('hex') })
    for (;;) {
      const { status, text } = await send(delivery_id, body)
      if (status === 200 || status === 202) {
        note({ delivery_id, event_id: JSON.parse(text).event_id })
        break
      }
      if (!notNow.includes(status)) note({ delivery_id, refused: status, text })
      await pause(20)
    }
  }
}
await Promise.all(Array.from({ length: Number(senders) }, (_, lane) => sender(lane)))
closeSync(ledger)
process.exit(0)
