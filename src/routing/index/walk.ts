// The leaves of an event that has been parsed. What the scanner of bytes (scan.ts) finds is the same.
import type { Scalar } from '../conditions.ts'
import { root, type Element, type Gathering, type PathSlot } from './leaves.ts'
import type { PathNode } from './path-trie.ts'

/** Gathers the leaves of a value along a trie; depth: steps of the path so far. */
export function walk<S extends PathSlot>(value: unknown, node: PathNode<S>, into: Gathering<S>, element: Element = root, depth = 0): void {
  if (Array.isArray(value)) {
    const array = into.arrays++
    for (const item of value as unknown[]) {
      // A plain value in an array stands in no element: conditions on it are free of array consistency.
      if (typeof item === 'object' && item !== null) walk(item, node, into, { parent: element, array, depth }, depth)
      else if (node.slot !== null) into.add(node.slot, item as Scalar, element)
    }
  } else if (typeof value === 'object' && value !== null) {
    if (node.children === null) return
    for (const key of Object.keys(value)) {
      const led = node.led(key)
      if (led !== null) walk((value as Record<string, unknown>)[key], led.node, into, element, depth + led.steps)
    }
  } else if (node.slot !== null) into.add(node.slot, value as Scalar, element)
}
