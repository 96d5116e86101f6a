// A list that follows the stream: pause, what is new, what was left out.
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useMemo } from 'preact/hooks'
import { LiveLog, type LogSource } from '../stream/live-log.ts'
import { count, plural } from '../text.ts'
import { Button, Problem } from './basic.tsx'
import { useKeys } from './keys.ts'
import { List, type Column } from './list.tsx'

interface LiveListProps<T extends { id: string }> {
  /** one of them: event */
  one: string
  label: string
  source: LogSource<T>
  columns: Column<T>[]
  link: (row: T) => string
  /** what is shown while the list is empty */
  empty: ComponentChildren
}

export function LiveList<T extends { id: string }>({
  one,
  label,
  source,
  columns,
  link,
  empty,
}: LiveListProps<T>): JSX.Element {
  const log = useMemo(() => new LiveLog(source), [])
  useEffect(() => () => log.stop(), [])
  useKeys([{ keys: 'space', what: log.isPaused.value ? 'go on' : 'pause', act: () => log.pause() }])
  const waiting = log.waiting.value.length
  const { value: skipped } = log.skipped
  return (
    <>
      <div class="actions" aria-live="polite">
        <Button pressed={log.isPaused.value} onClick={() => log.pause()}>
          {log.isPaused.value ? 'Paused' : 'Pause'} <kbd>space</kbd>
        </Button>
        {waiting > 0 ? (
          <button type="button" class="pill" onClick={() => log.showWaiting()}>
            ▲ {count(waiting)} new
          </button>
        ) : null}
        {skipped > 0 ? (
          <span class="muted small">
            {plural(skipped, one)} of a burst not shown live{' '}
            <Button look="quiet" onClick={() => void log.readSkipped()}>
              read them
            </Button>
          </span>
        ) : null}
      </div>
      {log.error.value === undefined ? null : (
        <Problem error={log.error.value} again={() => void log.reload()} />
      )}
      {log.rows.value.length > 0 ? (
        <List
          label={label}
          rows={log.rows.value}
          columns={columns}
          link={link}
          more={() => void log.older()}
          onTop={isTop => log.setTop(isTop)}
        />
      ) : log.isLoading.value || log.error.value !== undefined ? null : (
        empty
      )}
    </>
  )
}
