// Makes pages again that are gone and stand between SQLite and much else. Without an inner page of a table all leaves below it
// are out of reach; but where auto_vacuum is on, as in every database of this program, the pointer map says of each page which
// one is above it, and the leaves have the keys. Without the schema nothing is in reach; but that is known from the migrations.
// Formats: sqlite.org/fileformat2.html, sections 1.3, 1.6, 1.8.
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'

const pageSize = 4096
const mapEntryBytes = 5
/** A map page, and the pages behind it that it speaks of. */
const perMap = Math.floor(pageSize / mapEntryBytes) + 1
const rootOfTree = 1
const innerOfTree = 5
const tableLeaf = 0x0d
const tableInner = 0x05
const indexInner = 0x02
const innerHead = 12
const fileHead = 100

/** A varint as a number and the offset behind it. Keys of rows fit: they count from 1. */
function varint(page: Buffer, at: number): [value: number, end: number] {
  let value = 0
  for (let index = 0; index < 9 && at + index < page.length; index++) {
    const byte = page[at + index]!
    value = value * 128 + (byte & 0x7f)
    if (byte < 0x80) return [value, at + index + 1]
  }
  return [Number.NaN, at]
}

function varintBytes(value: number): Buffer {
  const bytes = [value % 128]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128))
    bytes.unshift((rest % 128) | 0x80)
  return Buffer.from(bytes)
}

class Pages {
  readonly count: number
  readonly #file: number

  constructor(file: number) {
    this.#file = file
    this.count = Math.ceil(fstatSync(file).size / pageSize)
  }

  read(number: number): Buffer {
    const page = Buffer.alloc(pageSize)
    readSync(this.#file, page, 0, pageSize, (number - 1) * pageSize)
    return page
  }

  write(number: number, page: Buffer): void {
    writeSync(this.#file, page, 0, pageSize, (number - 1) * pageSize)
  }

  /** What the pointer map says of each page: its kind, and which page is above it. */
  *entries(): Generator<{ page: number; kind: number; above: number }> {
    for (let map = 2; map <= this.count; map += perMap) {
      const page = this.read(map)
      for (let index = 0; index < perMap - 1 && map + 1 + index <= this.count; index++)
        yield {
          page: map + 1 + index,
          kind: page[index * mapEntryBytes]!,
          above: page.readUInt32BE(index * mapEntryBytes + 1),
        }
    }
  }

  /** Pages of trees, by the page that is above them. */
  children(): Map<number, number[]> {
    const found = new Map<number, number[]>()
    for (const { page, kind, above } of this.entries())
      if (kind === innerOfTree) found.set(above, [...(found.get(above) ?? []), page])
    return found
  }
}

/** Pages that an inner page points to; undefined: it is no inner page of a tree. */
function pointers(page: Buffer): number[] | undefined {
  if (page[0] !== tableInner && page[0] !== indexInner) return undefined
  const cells = page.readUInt16BE(3)
  if (innerHead + 2 * cells > pageSize) return undefined
  const pages: number[] = []
  for (let index = 0; index < cells; index++) {
    const cell = page.readUInt16BE(innerHead + 2 * index)
    if (cell + 4 > pageSize) return undefined
    pages.push(page.readUInt32BE(cell))
  }
  return [...pages, page.readUInt32BE(8)]
}

class Mending {
  readonly notes: string[] = []
  readonly #pages: Pages
  readonly #children: Map<number, number[]>

  constructor(pages: Pages) {
    this.#pages = pages
    this.#children = pages.children()
  }

  all(): void {
    const below = new Set([...this.#children.values()].flat())
    for (const top of this.#children.keys()) if (top > 1 && !below.has(top)) this.#mend(top, new Set())
  }

  /** Mends what is below a page, then the page. */
  #mend(number: number, above: Set<number>): void {
    const children = this.#children.get(number)
    if (children === undefined || number > this.#pages.count || above.has(number)) return
    for (const child of children) this.#mend(child, new Set([...above, number]))
    const page = this.#pages.read(number)
    const known = pointers(page)
    const own = new Set(children)
    // A page that points to what is below it, by and large, is no worse than the map.
    if (known !== undefined && known.filter(each => own.has(each)).length * 2 > known.length) return
    const keyed = children
      .flatMap(child => {
        const key = this.#highestKey(child, 0)
        return key === undefined ? [] : [{ child, key }]
      })
      .toSorted((a, b) => a.key - b.key)
    if (keyed.length === 0) return
    this.#write(number, page, keyed)
    this.notes.push(`page ${number} was damaged and was made again from the ${keyed.length} pages below it`)
  }

  #write(number: number, page: Buffer, keyed: readonly { child: number; key: number }[]): void {
    page.fill(0)
    let content = pageSize
    for (const [index, { child, key }] of keyed.slice(0, -1).entries()) {
      const cell = Buffer.alloc(4)
      cell.writeUInt32BE(child)
      const whole = Buffer.concat([cell, varintBytes(key)])
      content -= whole.length
      if (content < innerHead + 2 * keyed.length) return
      whole.copy(page, content)
      page.writeUInt16BE(content, innerHead + 2 * index)
    }
    page[0] = tableInner
    page.writeUInt16BE(keyed.length - 1, 3)
    page.writeUInt16BE(content, 5)
    page.writeUInt32BE(keyed.at(-1)!.child, 8)
    this.#pages.write(number, page)
  }

  /** The highest row number below a page of a table; undefined where that cannot be known, or it is an index. */
  #highestKey(number: number, depth: number): number | undefined {
    if (number > this.#pages.count || depth > 20) return undefined
    const page = this.#pages.read(number)
    if (page[0] === tableInner) return this.#highestKey(page.readUInt32BE(8), depth + 1)
    const cells = page.readUInt16BE(3)
    if (page[0] !== tableLeaf || cells === 0 || 8 + 2 * cells > pageSize) return undefined
    const last = page.readUInt16BE(8 + 2 * (cells - 1))
    const [, afterLength] = varint(page, last)
    const [key] = varint(page, afterLength)
    return Number.isSafeInteger(key) && key > 0 ? key : undefined
  }
}

/** The roots of all tables and indexes, in order: they tell which version of the schema a file has. */
export function rootsOf(path: string): number[] {
  const file = openSync(path, 'r')
  try {
    return Array.from(new Pages(file).entries())
      .filter(({ kind }) => kind === rootOfTree)
      .map(({ page }) => page)
  } finally {
    closeSync(file)
  }
}

/**
 * Gives a file the first page and the schema of another that has the same tables and is whole; their pages go to its end. Where
 * roots of tables stand is the same in both.
 */
export function giveSchema(path: string, whole: Buffer): void {
  const file = openSync(path, 'r+')
  try {
    const pages = new Pages(file)
    const first = Buffer.from(whole.subarray(0, pageSize))
    let count = pages.count
    const moved = (page: number): number => {
      count++
      pages.write(count, whole.subarray((page - 1) * pageSize, page * pageSize))
      return count
    }
    if (first[fileHead] === tableInner) {
      for (let index = 0; index < first.readUInt16BE(fileHead + 3); index++) {
        const cell = first.readUInt16BE(fileHead + innerHead + 2 * index)
        first.writeUInt32BE(moved(first.readUInt32BE(cell)), cell)
      }
      first.writeUInt32BE(moved(first.readUInt32BE(fileHead + 8)), fileHead + 8)
    }
    // Not in WAL mode; so many pages; none of them free.
    first.set([1, 1], 18)
    first.writeUInt32BE(count, 28)
    first.writeUInt32BE(0, 32)
    first.writeUInt32BE(0, 36)
    pages.write(1, first)
  } finally {
    closeSync(file)
  }
}

/** Mends a file in place: only ever a copy. Answers what was done, in words. */
export function mended(path: string): string[] {
  const file = openSync(path, 'r+')
  try {
    const mending = new Mending(new Pages(file))
    mending.all()
    return mending.notes
  } finally {
    closeSync(file)
  }
}
