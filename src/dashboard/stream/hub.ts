// One stream for all tabs of a browser: browsers open six connections to a host, and a seventh tab would not even load.
//
// The tab that holds a lock has the stream and hands on what it says; the others listen. A tab that is hidden for a minute gives the lock
// away. Each tab remembers the id of the last message, so whichever has the stream next goes on there: nothing is missed or shown twice.
import { signal } from '@preact/signals'
import { readJson } from '../json.ts'
import { loggedIn, root } from '../rpc.ts'
import { backoff, messageFrom, names, type Message } from './messages.ts'

const hiddenMs = 60_000

/** Whether the stream is open, in whichever tab. */
export const live = signal(false)

const listeners = new Set<(message: Message) => void>()
const channel = new BroadcastChannel(`signalbox ${root.href}`)
let last: string | undefined
let wanted: AbortController | undefined

interface Handed {
  id: string | undefined
  message: Message
}

function tell(message: Message): void {
  if (message.kind === 'state') live.value = message.open
  else live.value = true
  for (const listener of listeners) listener(message)
}

function hand(id: string | undefined, message: Message): void {
  last = id ?? last
  channel.postMessage(JSON.stringify({ id, message }))
  tell(message)
}

/** Calls a function with each message until the one that is returned is called. */
export function listen(listener: (message: Message) => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Reads the stream until the signal is aborted. */
async function read(abort: AbortSignal): Promise<void> {
  for (let failures = 0; !abort.aborted;) {
    const url = new URL('stream', root)
    url.searchParams.set('topics', 'events,runs')
    if (last !== undefined) url.searchParams.set('after', last)
    const source = new EventSource(url)
    const { promise: over, resolve } = Promise.withResolvers<void>()
    const stop = (): void => resolve()
    abort.addEventListener('abort', stop, { once: true })
    for (const name of names)
      source.addEventListener(name, ({ data, lastEventId }) => {
        failures = 0
        // A stream without a cursor begins now: what screens read before may be older.
        const isFresh = name === 'ready' && last === undefined
        hand(lastEventId, messageFrom(name, readJson(data as string)))
        if (isFresh) for (const topic of ['events', 'runs'] as const) hand(undefined, { kind: 'gap', topic })
      })
    // The browser connects again by itself where the connection was lost, and gives up where the answer was not a stream.
    source.addEventListener('error', () => {
      hand(undefined, { kind: 'state', open: false })
      if (source.readyState === EventSource.CLOSED) stop()
    })
    await over
    source.close()
    abort.removeEventListener('abort', stop)
    if (abort.aborted) break
    failures++
    await pause(backoff(failures), abort)
  }
  hand(undefined, { kind: 'state', open: false })
}

function pause(ms: number, abort: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  abort.addEventListener('abort', () => resolve(), { once: true })
  return promise.finally(() => clearTimeout(timer))
}

/** Waits for the lock, then reads. */
function want(): void {
  if (wanted !== undefined || loggedIn.value !== true) return
  const abort = new AbortController()
  wanted = abort
  // Browsers have locks on secure origins alone (HTTPS, and this machine): elsewhere each tab reads for itself.
  const { locks } = navigator as { locks?: LockManager }
  if (locks === undefined) return void read(abort.signal)
  locks
    .request(`signalbox ${root.href}`, { signal: abort.signal }, () => read(abort.signal))
    .catch((error: unknown) => {
      if (!abort.signal.aborted) throw error
    })
}

function giveUp(): void {
  wanted?.abort()
  wanted = undefined
}

/** Reads the stream, or listens to the tab that does, while there is a login. */
export function startHub(): void {
  let timer: ReturnType<typeof setTimeout> | undefined
  channel.addEventListener('message', ({ data }) => {
    const { id, message } = JSON.parse(data as string) as Handed
    last = id ?? last
    tell(message)
  })
  const seen = (): void => {
    clearTimeout(timer)
    if (document.visibilityState === 'visible') want()
    else timer = setTimeout(giveUp, hiddenMs)
  }
  document.addEventListener('visibilitychange', seen)
  addEventListener('pagehide', giveUp)
  addEventListener('pageshow', seen)
  loggedIn.subscribe(value => (value === true ? seen() : giveUp()))
}
