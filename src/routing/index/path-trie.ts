// The paths that triggers mention, as a trie that leads through an event: what no path mentions is not looked at.
import type { PathSlot } from './leaves.ts'

export const hashStart = 0x811c9dc5 | 0

/** One step of the hash of a text: four of its bytes as a number, the first the lowest. */
export function hashStep(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x01000193)
  return mixed ^ (mixed >>> 15)
}

/** Hash of a text's bytes in UTF-8, four at a time, zeros behind the end; the scanner computes the same while it reads. */
export function hashText(text: string): number {
  const bytes = Buffer.from(text, 'utf8')
  const padded = Buffer.alloc((bytes.length >> 2) * 4 + 4)
  padded.set(bytes)
  let hash = hashStart
  for (let at = 0; at < padded.length; at += 4) hash = hashStep(hash, padded.readInt32LE(at))
  return hash
}

export class PathNode<S extends PathSlot> {
  readonly key: string
  /** the key in UTF-8; empty and never equal for a key that has no UTF-8 (a lone surrogate) */
  readonly bytes: Uint8Array
  readonly hash: number
  readonly well_formed: boolean
  children: Map<string, PathNode<S>> | null = null
  /** the children by hash, open addressing, at most half full */
  table: (PathNode<S> | null)[] = []
  /** the path that ends here */
  slot: S | null = null
  /** the object of the event in which this key was met last: twice in one means that the last counts */
  met = 0

  constructor(key: string) {
    this.key = key
    this.bytes = Buffer.from(key, 'utf8')
    this.hash = hashText(key)
    this.well_formed = key.isWellFormed()
  }

  /** The child of a key that is given by its bytes from start to end. */
  childByBytes(text: Uint8Array, start: number, end: number, hash: number): PathNode<S> | null {
    const { table } = this
    const mask = table.length - 1
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const child = table[at]
      if (child === null || child === undefined) return null
      if (child.hash === hash && child.#is(text, start, end)) return child
    }
  }

  #is(text: Uint8Array, start: number, end: number): boolean {
    const { bytes } = this
    if (bytes.length !== end - start || !this.well_formed) return false
    for (let index = 0; index < bytes.length; index++) if (bytes[index] !== text[start + index]) return false
    return true
  }

  #place(child: PathNode<S>): void {
    const mask = this.table.length - 1
    let at = child.hash & mask
    while (this.table[at] !== null) at = (at + 1) & mask
    this.table[at] = child
  }

  #rebuild(size: number): void {
    this.table = Array.from<PathNode<S> | null>({ length: size }).fill(null)
    for (const child of this.children!.values()) this.#place(child)
  }

  /** The child of a key, made where there is none. */
  grown(key: string): PathNode<S> {
    this.children ??= new Map()
    const known = this.children.get(key)
    if (known !== undefined) return known
    const child = new PathNode<S>(key)
    this.children.set(key, child)
    if (this.children.size * 2 > this.table.length) this.#rebuild(Math.max(4, this.table.length * 2))
    else this.#place(child)
    return child
  }

  /** Takes a child out of the table; those behind it that its place kept from their own move up. */
  #displace(child: PathNode<S>): void {
    const { table } = this
    const mask = table.length - 1
    let hole = table.indexOf(child, child.hash & mask)
    if (hole < 0) hole = table.indexOf(child)
    for (let at = (hole + 1) & mask; table[at] !== null; at = (at + 1) & mask) {
      const home = table[at]!.hash & mask
      if (((at - home) & mask) < ((at - hole) & mask)) continue
      table[hole] = table[at]!
      hole = at
    }
    table[hole] = null
  }

  /** Takes away what leads nowhere any more along a path; answers whether this node leads nowhere itself. */
  prune(steps: readonly string[], depth = 0): boolean {
    const child = depth === steps.length ? undefined : this.children?.get(steps[depth]!)
    if (child?.prune(steps, depth + 1) === true) {
      this.children!.delete(child.key)
      if (this.children!.size === 0) {
        this.children = null
        this.table = []
      } else if (this.children!.size * 8 < this.table.length) this.#rebuild(this.table.length / 4)
      else this.#displace(child)
    }
    return this.slot === null && this.children === null
  }

  /** Where a key of the event leads: a dotted key and nesting are the same path. */
  descend(key: string): { node: PathNode<S>; steps: number } | null {
    const direct = this.children?.get(key)
    if (direct !== undefined) return { node: direct, steps: 1 }
    if (!key.includes('.')) return null
    const steps = key.split('.')
    let node = this.children?.get(steps[0]!)
    for (const step of steps.slice(1)) node = node?.children?.get(step)
    return node === undefined ? null : { node, steps: steps.length }
  }
}
