// The recorded conversations of *.io: ">> " is sent as a line, "<< " is what comes back, nothing where nothing is written.
// "*" in an answer stands for anything; [text:COUNTxSTRING] in a request is a text repeated.
import { globSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { Bindings } from '../support/compare.ts'
import { exampleRouter } from '../support/example-router.ts'

interface Exchange {
  line: number
  request: Buffer
  answer: string | undefined
}

function requestBytes(text: string): Buffer {
  const expanded = text.replaceAll(/\[text:(\d+)x(.*?)\]/g, (_all, count: string, piece: string) =>
    piece.repeat(Number(count)),
  )
  // \xNN is a byte that need not be UTF-8.
  const parts = expanded.split(/\\x([0-9a-f]{2})/)
  return Buffer.concat(
    parts.map((part, index) => (index % 2 === 0 ? Buffer.from(part) : Buffer.from(part, 'hex'))),
  )
}

function exchanges(file: string): Exchange[] {
  const result: Exchange[] = []
  for (const [index, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    if (line.startsWith('>> '))
      result.push({ line: index + 1, request: requestBytes(line.slice(3)), answer: undefined })
    else if (line.startsWith('<< ')) result.at(-1)!.answer = line.slice(3)
    else if (line !== '' && !line.startsWith('#'))
      throw new Error(`${file}:${index + 1} is neither >> nor << nor #`)
  }
  return result
}

/** Lines that come back, one at a time. */
function lineReader(socket: Socket): () => Promise<string> {
  let text = ''
  const waiting: ((line: string) => void)[] = []
  const ready: string[] = []
  socket.on('data', chunk => {
    text += chunk.toString('utf8')
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n')) {
      const line = text.slice(0, at)
      text = text.slice(at + 1)
      const next = waiting.shift()
      if (next === undefined) ready.push(line)
      else next(line)
    }
  })
  return () => {
    const line = ready.shift()
    return line === undefined ? new Promise(resolve => waiting.push(resolve)) : Promise.resolve(line)
  }
}

const sentinel = '{"jsonrpc":"2.0","id":"sentinel","method":"no.such.method"}'

test.each(globSync('test/rpc/*.io').toSorted())('%s', async file => {
  const { router, ids } = await exampleRouter()
  const socket = connect(router.router.socket)
  onTestFinished(() => void socket.destroy())
  const nextLine = lineReader(socket)
  for (const { line, request, answer } of exchanges(file)) {
    const text = request.toString('utf8')
    const sent =
      Buffer.from(text).equals(request) && text.trimStart().startsWith('{') && /7000-8000/.test(text)
        ? Buffer.from(JSON.stringify(ids.filled(JSON.parse(text))))
        : request
    socket.write(Buffer.concat([sent, Buffer.from('\n')]))
    if (answer === undefined) socket.write(`${sentinel}\n`)
    const came = await nextLine()
    if (answer === undefined) expect(came, `${file}:${line} should not be answered`).toContain('"sentinel"')
    else if (answer.startsWith('=')) expect(came, `${file}:${line}`).toBe(answer.slice(1))
    else
      expect(
        new Bindings().differences(ids.filled(JSON.parse(answer)), JSON.parse(came)),
        `${file}:${line}`,
      ).toEqual([])
  }
})
