// A JSON value as a tree, with actions for each value: copy it, copy its path, use it in a filter.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { pathText, writeJson } from '../json.ts'
import { oneLine } from '../text.ts'
import { Button, copyText } from './basic.tsx'
import { preview, treeRows, type TreeRow } from './tree-rows.ts'

interface TreeProps {
  value: unknown
  label: string
  /** path of the value itself: payload */
  at?: string
  /** Called with a path and its value, to make a condition of it. */
  useInFilter?: (path: (string | number)[], value: unknown) => void
  /** paths that are marked, as pathText writes them */
  marked?: ReadonlySet<string>
}

const most = 2000

export function Tree({ value, label, at, useInFilter, marked }: TreeProps): JSX.Element {
  const toggled = useSignal<ReadonlySet<string>>(new Set())
  const search = useSignal('')
  const rows = treeRows(value, toggled.value, at === undefined ? [] : [at])
  const wanted = search.value.toLowerCase()
  const shown =
    wanted === ''
      ? rows
      : rows.filter(row => `${row.key} ${preview(row.value)}`.toLowerCase().includes(wanted))
  const toggle = ({ id }: TreeRow): void => {
    const next = new Set(toggled.value)
    if (!next.delete(id)) next.add(id)
    toggled.value = next
  }
  const move = (event: KeyboardEvent): void => {
    const buttons = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>('.tree-key')]
    const now = buttons.indexOf(event.target as HTMLElement)
    const row = shown[now]
    if (row === undefined) return
    const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    if (by !== 0) buttons[now + by]?.focus()
    else if ((event.key === 'ArrowRight' && !row.open) || (event.key === 'ArrowLeft' && row.open)) toggle(row)
    else return
    event.preventDefault()
  }
  return (
    <div class="tree-box">
      {rows.length > 12 ? (
        <input
          class="tree-search"
          type="search"
          aria-label={`Search ${label}`}
          placeholder="Search"
          onInput={event => (search.value = event.currentTarget.value)}
        />
      ) : null}
      <ul class="tree" aria-label={label} onKeyDown={move}>
        {shown.slice(0, most).map(row => (
          <Row
            key={row.id}
            row={row}
            toggle={toggle}
            useInFilter={useInFilter}
            isMarked={marked?.has(pathText(row.path)) === true}
          />
        ))}
      </ul>
      {shown.length > most ? (
        <p class="muted">{shown.length - most} more rows are not shown; search for what you want</p>
      ) : null}
    </div>
  )
}

function Row({
  row,
  toggle,
  useInFilter,
  isMarked,
}: {
  row: TreeRow
  toggle: (row: TreeRow) => void
  useInFilter: TreeProps['useInFilter']
  isMarked: boolean
}): JSX.Element {
  const path = pathText(row.path)
  const isLeaf = row.size === undefined
  const indent = (element: HTMLElement | null): void =>
    element?.style.setProperty('--depth', String(row.depth))
  return (
    <li class={isMarked ? 'tree-row tree-marked' : 'tree-row'} ref={indent}>
      <button
        type="button"
        class="tree-key"
        {...(isLeaf ? {} : { 'aria-expanded': row.open })}
        onClick={() => !isLeaf && toggle(row)}
      >
        <span class="tree-arrow" aria-hidden="true">
          {isLeaf ? '' : row.open ? '▾' : '▸'}
        </span>
        <bdi>{oneLine(String(row.key), 80)}</bdi>
      </button>
      {row.open ? (
        <span class="muted">{row.kind === 'array' ? `[${row.size}]` : ''}</span>
      ) : (
        <bdi class={`tree-value tree-${row.kind}`}>{preview(row.value)}</bdi>
      )}
      <span class="tree-actions">
        <Button look="quiet" label={`copy path: ${path}`} onClick={() => void copyText(path, 'path')}>
          copy path
        </Button>
        <Button
          look="quiet"
          label={`copy value: ${path}`}
          onClick={() =>
            void copyText(typeof row.value === 'string' ? row.value : writeJson(row.value), 'value')
          }
        >
          copy value
        </Button>
        {useInFilter !== undefined && isLeaf ? (
          <Button
            look="quiet"
            label={`use in filter: ${path}`}
            onClick={() => useInFilter(row.path, row.value)}
          >
            use in filter
          </Button>
        ) : null}
      </span>
    </li>
  )
}
