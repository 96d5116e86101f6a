// Triggers and their branches as the matcher keeps them.
import type { SharedField } from './index/slots.ts'

export interface Entry<T> {
  branches: Attached<T>[]
  /** what it adds to the totals that are limited */
  fields: number
  searched: number
  /** the last event that it matched */
  matched: number
}

/** A way to match, attached to one of its fields in the index. */
export interface Attached<T> {
  entry: Entry<T>
  target: T
  /** whether its trigger has no other way */
  alone: boolean
  /** sorted by path */
  fields: Known<T>[]
  access: Known<T>
  /** its place among those attached to its access field */
  place: number
  weight: number
}

export type Known<T> = SharedField<Attached<T>>
