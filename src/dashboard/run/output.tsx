// What an attempt prints, as it prints it.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { OutputPart, Run, RunOutputResult } from '../../contract/types.ts'
import { Button, Copy } from '../parts/basic.tsx'
import { useKeys } from '../parts/keys.ts'
import { call, isAbort } from '../rpc.ts'
import { can } from '../session.ts'
import { PerFrame } from '../stream/frame.ts'
import { bytes } from '../text.ts'
import { OutputPane } from './output-pane.ts'

/** An open request takes one of the six connections that a browser opens to a host, so only a visible tab waits. */
const waitMs = 20_000
const firstBytes = 262_144
const retryMs = 3000

interface Feed {
  run_id: string
  attempt: number
  abort: AbortSignal
  /** Called with each page that has something. */
  told: (page: RunOutputResult) => void
}

/** Waits until the tab is visible or the signal is aborted. */
function visibleTab(abort: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const look = (): void => {
    if (document.visibilityState === 'visible' || abort.aborted) resolve()
  }
  document.addEventListener('visibilitychange', look)
  abort.addEventListener('abort', look)
  look()
  return promise.finally(() => document.removeEventListener('visibilitychange', look))
}

/** Reads from the end of what there is, and on until the attempt is over. */
async function feed({ run_id, attempt, abort, told }: Feed): Promise<void> {
  let after: number | undefined
  while (!abort.aborted) {
    await visibleTab(abort)
    const asking = new AbortController()
    const stop = (): void => {
      if (document.visibilityState !== 'visible' || abort.aborted) asking.abort()
    }
    document.addEventListener('visibilitychange', stop)
    abort.addEventListener('abort', stop)
    try {
      const from = after === undefined ? { last_bytes: firstBytes } : { after, wait_ms: waitMs }
      const page = await call('run.output', { run_id, attempt, ...from }, asking.signal)
      after = page.next
      told(page)
      if (page.finished && !page.more) return
    } catch (error) {
      if (abort.aborted) return
      if (!isAbort(error)) await new Promise(resolve => setTimeout(resolve, retryMs))
    } finally {
      document.removeEventListener('visibilitychange', stop)
      abort.removeEventListener('abort', stop)
    }
  }
}

export function Output({ run }: { run: Run }): JSX.Element {
  const box = useRef<HTMLDivElement>(null)
  const chosen = useSignal<number | undefined>(undefined)
  const isFollowing = useSignal(true)
  const state = useSignal({ total: 0, left_out: 0, finished: false })
  const attempt = chosen.value ?? run.attempt
  useEffect(() => {
    const element = box.current
    if (element === null || attempt === 0) return
    const pane = new OutputPane(element)
    pane.clear()
    const abort = new AbortController()
    const frame = new PerFrame<OutputPart>(parts => {
      pane.append(parts)
      if (isFollowing.peek()) element.scrollTop = element.scrollHeight
      if (pane.dropped > 0) state.value = { ...state.peek(), left_out: state.peek().left_out + pane.dropped }
      pane.dropped = 0
    })
    let isFirst = true
    const told = ({ parts, total_bytes, skipped_bytes = 0, finished }: RunOutputResult): void => {
      const before = isFirst ? (parts[0]?.offset ?? 0) : 0
      isFirst = false
      state.value = {
        total: total_bytes,
        left_out: Math.max(before, skipped_bytes, state.peek().left_out),
        finished,
      }
      for (const part of parts) frame.add(part)
    }
    void feed({ run_id: run.id, attempt, abort: abort.signal, told })
    return () => {
      abort.abort()
      frame.stop()
    }
  }, [run.id, attempt])
  const follow = (): void => {
    isFollowing.value = !isFollowing.peek()
    if (isFollowing.peek()) box.current!.scrollTop = box.current!.scrollHeight
  }
  useKeys([{ keys: 'f', what: 'follow the end of the output', act: follow }])
  const onScroll = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = box.current!
    isFollowing.value = scrollTop + clientHeight >= scrollHeight - 8
  }
  if (!can('payload'))
    return <p class="muted">Your login does not have the scope payload, so output is left out.</p>
  if (run.attempt === 0) return <p class="muted">No attempt has begun: there is no output yet.</p>
  const { total, left_out, finished } = state.value
  return (
    <div class="output">
      <div class="actions">
        {run.attempt > 1 ? (
          <label class="actions small">
            Attempt
            <select value={attempt} onChange={event => (chosen.value = Number(event.currentTarget.value))}>
              {Array.from({ length: run.attempt }, (_, index) => (
                <option key={index} value={index + 1}>
                  {index + 1}
                </option>
              ))}
            </select>
          </label>
        ) : null}
        <Button pressed={isFollowing.value} onClick={follow}>
          Follow the end <kbd>f</kbd>
        </Button>
        <span class="muted small figure">
          {bytes(total)}
          {left_out > 0 ? `, ${bytes(left_out)} of them not shown` : ''} · {finished ? 'finished' : 'running'}
        </span>
        <Copy
          text={`signalbox runs logs ${run.id}${attempt === run.attempt ? '' : ` --attempt ${attempt}`}`}
          what="command"
        >
          Copy as command
        </Copy>
      </div>
      <div
        class="term"
        ref={box}
        onScroll={onScroll}
        tabIndex={0}
        role="log"
        aria-label={`Output of attempt ${attempt}`}
        aria-live="off"
      />
      {total === 0 ? (
        <p class="muted small">{finished ? 'It printed nothing.' : 'Nothing is printed yet.'}</p>
      ) : null}
    </div>
  )
}
