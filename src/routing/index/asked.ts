// What a field asks, as the indexes of a path sort it. Pure.
import type { OnlyText, Scalar, Test } from '../conditions.ts'
import type { Field } from '../pattern.ts'

export function isOnlyText(test: Test): test is OnlyText {
  return (
    test.kind !== 'equals' &&
    test.kind !== 'range' &&
    test.kind !== 'exists' &&
    test.kind !== 'anything_but' &&
    test.kind !== 'anything_but_texts'
  )
}

/** Whether a test has to see the text itself: no hash answers it. */
export function readsText(test: Test): boolean {
  return isOnlyText(test) || test.kind === 'anything_but_texts'
}

/** The lengths of the beginnings and endings by which a test may be found. */
export function endLengths(test: Test): number[] {
  if (test.kind === 'prefix' || test.kind === 'suffix') return [test.text.length]
  return test.kind === 'wildcard' && test.pieces.length === 2 ? test.pieces.map(piece => piece.length) : []
}

export function mentionedTexts({ conditions }: Field): string[] {
  return conditions.flatMap(({ test }) => {
    const values =
      test.kind === 'equals' ? [test.value] : test.kind === 'anything_but' ? [...test.excluded] : []
    return values.filter(value => typeof value === 'string')
  })
}

/** The value that a field asks for, where that is all it does. */
export function singleValue({ conditions, absent }: Field): Scalar | undefined {
  const [first] = conditions
  return conditions.length === 1 && !absent && first!.test.kind === 'equals' ? first!.test.value : undefined
}

export function keyOf({ conditions, absent }: Field): string {
  return `${absent ? '-' : '+'}${JSON.stringify(conditions.map(({ operator, expected }) => [operator, expected]))}`
}
