// A TCP port of loopback that is free now, for a program that cannot choose one itself.
import { createServer, type AddressInfo } from 'node:net'

export function freePort(): Promise<number> {
  const server = createServer()
  return new Promise(resolve => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
