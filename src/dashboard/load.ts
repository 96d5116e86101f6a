// Reading what a screen shows, and reading it again when something has changed.
import { signal, useSignal, type ReadonlySignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { Methods } from '../contract/types.ts'
import { call, isAbort } from './rpc.ts'
import { listen } from './stream/hub.ts'
import type { Message } from './stream/messages.ts'

export interface Loaded<T> {
  value: T | undefined
  /** why the last reading failed; the earlier value stays */
  error: unknown
  loading: boolean
}

/** Rises once a second: what shows how long something has taken reads it. */
export const now = signal(Date.now())
setInterval(() => {
  if (document.visibilityState === 'visible') now.value = Date.now()
}, 1000)

interface Options {
  /** Reads again when a message of the stream is one of these, at most once in a second. */
  on?: (message: Message) => boolean
  /** milliseconds after which it is read again while the tab is visible */
  every?: number
}

/**
 * The result of a method, read again when the parameters change and when options say so.
 * @param params undefined: nothing is read
 */
export function useCall<M extends keyof Methods>(
  method: M,
  params: Methods[M]['params'] | undefined,
  options: Options = {},
): ReadonlySignal<Loaded<Methods[M]['result']>> & { again: () => void } {
  return useLoad(
    abort => call(method, params!, abort),
    params === undefined ? undefined : JSON.stringify([method, params]),
    options,
  )
}

/** key: reads when it changes; undefined: nothing is read */
export function useLoad<T>(
  load: (abort: AbortSignal) => Promise<T>,
  key: string | undefined,
  { on, every }: Options = {},
): ReadonlySignal<Loaded<T>> & { again: () => void } {
  const state = useSignal<Loaded<T>>({ value: undefined, error: undefined, loading: key !== undefined })
  const turn = useSignal(0)
  const again = (): void => void turn.value++
  const current = turn.value
  useEffect(() => {
    if (key === undefined) return
    const abort = new AbortController()
    state.value = { ...state.peek(), loading: true }
    load(abort.signal).then(
      value => {
        if (!abort.signal.aborted) state.value = { value, error: undefined, loading: false }
      },
      (error: unknown) => {
        if (!isAbort(error)) state.value = { ...state.peek(), error, loading: false }
      },
    )
    return () => abort.abort()
  }, [key, current])
  useEffect(() => {
    // Another thing is shown now: its value is not known yet.
    state.value = { value: undefined, error: undefined, loading: key !== undefined }
  }, [key])
  useEffect(() => {
    if (on === undefined) return
    let timer: ReturnType<typeof setTimeout> | undefined
    const stop = listen(message => {
      if (!on(message)) return
      timer ??= setTimeout(() => {
        timer = undefined
        again()
      }, 1000)
    })
    return () => {
      stop()
      clearTimeout(timer)
    }
  }, [key])
  useEffect(() => {
    if (every === undefined) return
    const timer = setInterval(() => document.visibilityState === 'visible' && again(), every)
    return () => clearInterval(timer)
  }, [key, every])
  return Object.assign(state, { again })
}
