// A leaf of an event: a plain value at a path, with the array element that it is in.
import type { Scalar } from '../conditions.ts'

/** An element of an array in the event; the root element is the event itself. */
export interface Element {
  parent: Element | null
  /** steps of the path at which the array stands */
  depth: number
  /** its place among the elements of the event, those around it before it */
  id: number
}

export const root: Element = { parent: null, depth: 0, id: 0 }

/** Stands for a text that no trigger mentions at its path: it is never decoded, and equals nothing that one asks for. */
export const unmentioned = Symbol('unmentioned')

export type LeafValue = Scalar | typeof unmentioned

export interface Leaf {
  value: LeafValue
  element: Element
  /** the next leaf at the same path */
  next: Leaf | null
}
