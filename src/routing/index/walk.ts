// The leaves of an event that has been parsed. What the scanner of bytes (scan.ts) finds is the same.
import type { Scalar } from '../conditions.ts'
import { numberOf, rawNumber } from '../exact-number.ts'
import { root, type Element, type Leaf } from './leaf.ts'
import type { Gathering, PathSlot } from './leaves.ts'
import type { PathNode } from './path-trie.ts'

/** Called with each leaf whose value is written in the event in another form than it is compared in: a number as it was written. */
export type Written = (leaf: Leaf, value: unknown) => void

/** Gathers the leaves of a value along a trie; depth: steps of the path so far. */
export function walk<S extends PathSlot>(
  value: unknown,
  node: PathNode<S>,
  into: Gathering<S>,
  { element = root, depth = 0, written }: { element?: Element; depth?: number; written?: Written } = {},
): void {
  const visit = (value: unknown, node: PathNode<S>, element: Element, depth: number): void => {
    if (Array.isArray(value)) {
      let nested = 0
      // By index: an iterator of 90,000 items brings as many objects.
      for (let at = 0; at < value.length; at++) {
        const item: unknown = value[at]
        // A plain value in an array is in no element: conditions on it are free of array consistency.
        const isNested = isCompound(item)
        if (isNested) nested++
        visit(item, node, isNested ? into.element(element, depth) : element, depth)
      }
      if (node.slot !== null && nested > 0 && nested < value.length) into.mixed = true
    } else if (isCompound(value)) {
      if (node.children === null) return
      for (const key of Object.keys(value)) {
        const found = node.descend(key)
        if (found === null) continue
        if (found.steps > 1) into.mixed = true
        visit((value as Record<string, unknown>)[key], found.node, element, depth + found.steps)
      }
    } else if (node.slot !== null) {
      const source = typeof value === 'object' ? rawNumber(value) : undefined
      const leaf = into.add(node.slot, source === undefined ? (value as Scalar) : numberOf(source), element)
      if (source !== undefined) written?.(leaf, value)
    }
  }
  visit(value, node, element, depth)
}

function isCompound(value: unknown): value is object {
  return typeof value === 'object' && value !== null && rawNumber(value) === undefined
}
