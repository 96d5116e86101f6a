// What the admin listener asks of a request before it looks at what is asked: where it was sent to. A browser can be led to send
// requests to an address of this machine under a name of somebody else (DNS rebinding): such a name is refused.
import { Fault } from '../errors.ts'

const loopbackNames = ['127.0.0.1', 'localhost', '[::1]', 'signalbox.localhost']

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'))
}

/** Whether an address, host:port or the path of a socket, can be reached from this machine alone. */
export function isLocal(address: string): boolean {
  if (address.includes('/')) return true
  const host = hostOf(address)
  return host === 'localhost' || host === '[::1]' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** A Host header without the port, which a proxy or a tunnel may have changed. */
function nameIn(host: string): string {
  return host.toLowerCase().replace(/:\d{1,5}$/, '')
}

/** Throws Fault forbidden for a Host header that names neither this listener nor a name of the configuration. */
export function assertHost(host: string, address: string, names: readonly string[]): void {
  // No browser reaches a socket.
  if (address.includes('/')) return
  if ([...loopbackNames, hostOf(address), ...names].includes(nameIn(host))) return
  throw new Fault('forbidden', `the host ${JSON.stringify(host.slice(0, 100))} is not one of this listener; add its name to admin_hosts if it is meant`, {
    reason: 'E_HOST',
  })
}
