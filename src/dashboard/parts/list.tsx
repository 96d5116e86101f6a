// A list of any length: only the rows in view are in the page. Each row has a link in its first cell; j and k, or the arrow keys, move.
import { useSignal, type Signal } from '@preact/signals'
import type { ComponentChildren, JSX, RefObject } from 'preact'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import { go } from '../router.ts'
import { useKeys } from './keys.ts'
import { rowsInView } from './window.ts'

/** Pixels of a row; --row in the styles. */
const rowHeight = 34

export interface Column<T> {
  title: string
  /** of the grid: 90px, 1fr, minmax(0, 2fr) */
  width: string
  cell: (row: T) => ComponentChildren
  /** its width on narrow screens, where it is another */
  narrow?: string
  /** left out on narrow screens */
  wide?: boolean
}

interface ListProps<T extends { id: string }> {
  label: string
  rows: readonly T[]
  columns: Column<T>[]
  /** where a row leads; undefined: rows lead nowhere */
  link?: (row: T) => string
  /** Called when the end comes into view. */
  more?: (() => void) | undefined
  /** Called with whether the first row is in view. */
  onTop?: (isTop: boolean) => void
  /** the row that x selects, and those that are selected */
  selection?: { has: (id: string) => boolean; toggle: (id: string) => void }
  /** rows are shown without scrolling of their own */
  short?: boolean
}

/** Moves between rows: what j, k and the arrow keys do. Answers a function that takes the row that has the focus. */
function useMoves<T extends { id: string }>(
  { rows, selection, short = false }: ListProps<T>,
  box: RefObject<HTMLDivElement | null>,
  look: () => void,
): { move: (by: number) => void; focused: (id: string) => void } {
  const current = useRef<string | undefined>(undefined)
  const scrollTo = (at: number): void => {
    const element = box.current!
    const top = at * rowHeight
    if (top < element.scrollTop) element.scrollTop = top
    else if (top + 2 * rowHeight > element.scrollTop + element.clientHeight)
      element.scrollTop = top + 2 * rowHeight - element.clientHeight
    look()
  }
  const move = (by: number): void => {
    if (rows.length === 0) return
    const at = rows.findIndex(({ id }) => id === current.current)
    const next = at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + by))
    const { id } = rows[next]!
    current.current = id
    if (!short) scrollTo(next)
    requestAnimationFrame(() =>
      box.current
        ?.querySelector<HTMLElement>(`[data-row="${CSS.escape(id)}"] :is(a, button, input)`)
        ?.focus(),
    )
  }
  const select = (): void => {
    if (current.current !== undefined) selection?.toggle(current.current)
  }
  useKeys([
    { keys: 'j', what: 'next row', act: () => move(1) },
    { keys: 'k', what: 'previous row', act: () => move(-1) },
    ...(selection === undefined ? [] : [{ keys: 'x', what: 'select the row', act: select }]),
  ])
  return { move, focused: id => void (current.current = id) }
}

/** Styles in the markup are against the page's policy; those that a script sets on an element are not. */
function setWidths(
  columns: readonly { width: string; narrow?: string; wide?: boolean }[],
): (element: HTMLElement | null) => void {
  return element => {
    element?.style.setProperty('--columns', columns.map(({ width }) => width).join(' '))
    element?.style.setProperty(
      '--columns-narrow',
      columns.flatMap(({ width, narrow, wide }) => (wide === true ? [] : [narrow ?? width])).join(' '),
    )
  }
}

/** Room for rows that are not in the page. */
function Space({ rows }: { rows: number }): JSX.Element {
  return (
    <div
      class="list-space"
      role="presentation"
      ref={element => element?.style.setProperty('height', `${rows * rowHeight}px`)}
    />
  )
}

function Row<T extends { id: string }>({
  row,
  at,
  list,
  focused,
}: {
  row: T
  at: number
  list: ListProps<T>
  focused: (id: string) => void
}): JSX.Element {
  const { columns, link, selection } = list
  const open = (event: MouseEvent): void => {
    if (link === undefined || (event.target as HTMLElement).closest('a, button, input, label') !== null)
      return
    // A text that is being selected is not a click.
    if (getSelection()?.isCollapsed !== false) go(link(row))
  }
  return (
    <div
      class={`row ${selection?.has(row.id) === true ? 'row-selected' : ''}`}
      role="row"
      aria-rowindex={at + 2}
      data-row={row.id}
      onFocusCapture={() => focused(row.id)}
      onClick={open}
    >
      {columns.map(({ title, cell, wide }, index) => (
        <span key={title} role="cell" class={wide === true ? 'wide' : ''}>
          {index === 0 && link !== undefined ? <a href={link(row)}>{cell(row)}</a> : cell(row)}
        </span>
      ))}
    </div>
  )
}

/** Which rows are in view, kept up with scrolling and the size of the window. */
function useView(
  { short = false, onTop }: Pick<ListProps<never>, 'short' | 'onTop'>,
  box: RefObject<HTMLDivElement | null>,
): { view: Signal<{ top: number; height: number }>; look: () => void } {
  const view = useSignal({ top: 0, height: 800 })
  const look = (): void => {
    const element = box.current
    if (element === null || short) return
    const { scrollTop: top, clientHeight: height } = element
    if (view.peek().top !== top || view.peek().height !== height) view.value = { top, height }
    onTop?.(top < rowHeight)
  }
  useLayoutEffect(look)
  useEffect(() => {
    const observer = new ResizeObserver(look)
    observer.observe(box.current!)
    return () => observer.disconnect()
  }, [])
  return { view, look }
}

export function List<T extends { id: string }>(list: ListProps<T>): JSX.Element {
  const { label, rows, columns, more, short = false } = list
  const box = useRef<HTMLDivElement>(null)
  const { view, look } = useView(list, box)
  const { first, end } = short
    ? { first: 0, end: rows.length }
    : rowsInView(view.value.top, view.value.height, rowHeight, rows.length)
  const { move, focused } = useMoves(list, box, look)
  useEffect(() => {
    if (more !== undefined && end >= rows.length) more()
  }, [end >= rows.length, rows.length, more === undefined])
  const onKeyDown = (event: KeyboardEvent): void => {
    const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    if (by === 0 || (event.target as HTMLElement).closest('input, select') !== null) return
    event.preventDefault()
    move(by)
  }
  return (
    <div
      class="list"
      role="table"
      aria-label={label}
      aria-rowcount={rows.length + 1}
      ref={setWidths(columns)}
    >
      <div class="list-head" role="row" aria-rowindex={1}>
        {columns.map(({ title, wide }) => (
          <span key={title} role="columnheader" class={wide === true ? 'wide' : ''}>
            {title}
          </span>
        ))}
      </div>
      <div
        class={`list-rows ${short ? 'list-short' : ''}`}
        role="rowgroup"
        ref={box}
        onScroll={look}
        onKeyDown={onKeyDown}
        {...(short ? {} : { tabIndex: 0 })}
      >
        {short ? null : <Space rows={first} />}
        {rows.slice(first, end).map((row, at) => (
          <Row key={row.id} row={row} at={first + at} list={list} focused={focused} />
        ))}
        {short ? null : <Space rows={rows.length - end} />}
      </div>
    </div>
  )
}
