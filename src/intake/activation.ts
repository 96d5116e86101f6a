// A listening socket from whoever started us, as systemd hands it over: it keeps senders waiting while a router is restarted,
// where a closed port would refuse them. sd_listen_fds(3).

const firstDescriptor = 3

/**
 * The descriptor of the socket of a name; one that has no name will do where it is the only one. Undefined where nothing was
 * handed to this process.
 */
export function handedSocket(env: Record<string, string | undefined>, pid: number, name: string): number | undefined {
  if (env.LISTEN_PID !== String(pid)) return undefined
  const count = Number(env.LISTEN_FDS)
  const names = (env.LISTEN_FDNAMES ?? '').split(':').slice(0, count)
  const at = names.indexOf(name)
  if (at >= 0) return firstDescriptor + at
  return count === 1 && (names[0] === '' || names[0] === 'unknown') ? firstDescriptor : undefined
}
