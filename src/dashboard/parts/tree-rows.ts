// A JSON value as rows of a tree. Pure: no DOM.
import { isRaw, kindOf, type Kind } from '../json.ts'
import { oneLine } from '../text.ts'

export interface TreeRow {
  /** of the JSON path, unique within the tree */
  id: string
  path: (string | number)[]
  key: string | number
  depth: number
  kind: Kind
  value: unknown
  /** children; undefined: it has none to open */
  size: number | undefined
  open: boolean
}

const openDepth = 2
/** Children that are open without being asked for. */
const mostOpen = 30

export const idOf = (path: readonly (string | number)[]): string => JSON.stringify(path)

/** What a value is on one line. */
export function preview(value: unknown, most = 400): string {
  if (typeof value === 'string') return JSON.stringify(oneLine(value, most))
  if (isRaw(value)) return value.rawJSON
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `[${value.length}]`
  if (value !== null && typeof value === 'object') {
    const keys = Object.keys(value)
    return keys.length === 0
      ? '{}'
      : `{${keys
          .slice(0, 4)
          .map(key => oneLine(key, 30))
          .join(', ')}${keys.length > 4 ? ', …' : ''}}`
  }
  return String(value)
}

/** Rows of what is open. toggled: ids that were opened or closed by hand */
export function treeRows(
  value: unknown,
  toggled: ReadonlySet<string>,
  begin: (string | number)[] = [],
): TreeRow[] {
  const rows: TreeRow[] = []
  const add = (each: unknown, path: (string | number)[], depth: number): void => {
    const kind = kindOf(each)
    const children = kind === 'object' || kind === 'array' ? Object.entries(each as object) : []
    const id = idOf(path)
    const isAtFirst = depth < openDepth && children.length <= mostOpen
    const open = children.length > 0 && isAtFirst !== toggled.has(id)
    rows.push({
      id,
      path,
      key: path.at(-1) ?? '',
      depth,
      kind,
      value: each,
      size: children.length > 0 ? children.length : undefined,
      open,
    })
    if (open)
      for (const [key, child] of children)
        add(child, [...path, kind === 'array' ? Number(key) : key], depth + 1)
  }
  const kind = kindOf(value)
  if (kind !== 'object' && kind !== 'array') {
    add(value, begin, 0)
    return rows
  }
  for (const [key, child] of Object.entries(value as object))
    add(child, [...begin, kind === 'array' ? Number(key) : key], 0)
  return rows
}
