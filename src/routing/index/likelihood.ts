// Which field of a branch fewest events are likely to pass: a guess, made of what triggers ask for. Pure.
import type { Condition, Scalar } from '../conditions.ts'
import { isPoint } from '../numeric.ts'

/** How likely an event is to pass a condition, by its kind and by how often triggers ask for it: what is popular with them is so with events. */
export function likelihood(
  { test }: Condition,
  uses: number,
  all: number,
  attachedAt: (value: Scalar) => number,
): number {
  const share = uses / (all + 16)
  switch (test.kind) {
    case 'equals':
      return Math.max(uses, attachedAt(test.value)) / (all + 16)
    case 'equals_ignore_case':
      return 0.01 + share
    case 'prefix':
    case 'suffix':
      return (test.text.length < 3 ? 0.5 : 0.02) + share
    case 'wildcard':
      return (Math.max(...test.pieces.map(piece => piece.length)) < 3 ? 0.5 : 0.03) + share
    case 'range':
      return (isPoint(test) ? 0.001 : test.from === undefined || test.to === undefined ? 0.5 : 0.2) + share
    case 'cidr':
      return 0.05 + share
    case 'exists':
    case 'anything_but':
    case 'anything_but_texts':
      return 1
  }
}
