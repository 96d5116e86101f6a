// A worker: node examples/worker.ts SOCKET BOT, or node examples/worker.ts URL TOKEN_FILE BOT for the admin listener. It counts the words of what it is given, a little at a time, and stops
// where it is asked to. The bot is one of kind pull: {"id": "counter", "endpoint": {"kind": "pull", "lease_ms": 30000}}.
import { setTimeout as pause } from 'node:timers/promises'
import { TryAgain, worker } from '../src/client/worker.ts'

const [place, ...more] = process.argv.slice(2)
const bot_id = more.pop()
const token_file = more.pop()
if (place === undefined || bot_id === undefined) throw new Error('expected SOCKET BOT or URL TOKEN_FILE BOT')

process.on('uncaughtException', error => {
  console.error(`worker: ${error.message}`)
  process.exit(1)
})

await worker({
  ...(token_file === undefined ? { socket: place } : { url: place, token_file }),
  bot_id,
  max: 2,
  async handler({ delivery, signal, progress, log, checkpoint }) {
    const { text } = delivery.inputs as { text?: unknown }
    if (typeof text !== 'string') throw new Error(`inputs.text must be a string; found ${JSON.stringify(text)}`)
    if (text === '') throw new TryAgain('there is nothing yet', 60_000)
    const words = text.split(/\s+/).filter(word => word !== '')
    for (const [index] of words.entries()) {
      if (signal.aborted) return undefined
      await checkpoint()
      await pause(100)
      if (index % 10 === 0) await progress(Math.round((100 * index) / words.length), `${index} of ${words.length} words`)
    }
    await log(`counted ${words.length} words`)
    return { words: words.length }
  },
})
