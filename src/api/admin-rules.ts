// Checks of addresses and of the Host header. A web page can make a browser send requests to this machine under a host name of its own
// (DNS rebinding), so requests to unknown names are refused.
import { Fault } from '../errors.ts'

const loopbackNames = ['127.0.0.1', 'localhost', '[::1]', 'signalbox.localhost']

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'))
}

/** Whether only this machine can reach an address (host:port, or a socket path). */
export function isLocal(address: string): boolean {
  if (address.includes('/')) return true
  const host = hostOf(address)
  return host === 'localhost' || host === '[::1]' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** A Host header without its port: a proxy or a tunnel may have another one. */
function nameIn(host: string): string {
  return host.toLowerCase().replace(/:\d{1,5}$/, '')
}

/** Throws Fault forbidden unless the Host header names this listener or a configured name. */
export function assertHost(host: string, address: string, names: readonly string[]): void {
  // Browsers cannot connect to a Unix socket.
  if (address.includes('/')) return
  if ([...loopbackNames, hostOf(address), ...names].includes(nameIn(host))) return
  throw new Fault(
    'forbidden',
    `unknown host ${JSON.stringify(host.slice(0, 100))}; if this name is expected, add it to admin_hosts`,
    {
      reason: 'E_HOST',
    },
  )
}
