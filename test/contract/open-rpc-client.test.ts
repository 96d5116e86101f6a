// A client that others wrote calls every framing of the control socket.
import { Client, HTTPTransport, RequestManager, StreamTransport } from '@open-rpc/client-js'
import { connect } from 'node:net'
import { Duplex } from 'node:stream'
import { Agent, fetch as socketFetch } from 'undici'
import { expect, onTestFinished, test } from 'vitest'
import { freshRouter } from '../support/router.ts'

test('over HTTP', async () => {
  const { router } = await freshRouter()
  const dispatcher = new Agent({ connect: { socketPath: router.socket } })
  onTestFinished(() => dispatcher.close())
  const fetcher = ((url: string, options: object) =>
    socketFetch(url, { ...options, dispatcher })) as unknown as typeof fetch
  const client = new Client(new RequestManager([new HTTPTransport('http://localhost/rpc', { fetcher })]))
  expect(await client.request({ method: 'rpc.health', params: {} })).toMatchObject({ status: 'ok' })
  expect(
    await client.request({ method: 'source.put', params: [{ id: 'a', source_type: 'service' }, 0] }),
  ).toMatchObject({ source: { id: 'a' } })
  await expect(client.request({ method: 'source.get', params: { source_id: 'b' } })).rejects.toMatchObject({
    code: -32002,
  })
})

test('over lines', async () => {
  const { router } = await freshRouter()
  const socket = connect(router.socket)
  const { readable, writable } = Duplex.toWeb(socket)
  const client = new Client(new RequestManager([StreamTransport.fromStreams(readable, writable)]))
  expect(await client.request({ method: 'rpc.health' })).toMatchObject({ status: 'ok' })
  expect(await client.request({ method: 'event.query', params: { limit: 1 } })).toEqual({ events: [] })
  client.close()
})
