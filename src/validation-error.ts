// What is wrong with a value, in the one form of all validation errors: where, what was expected, what was found, what to do. Pure.
import { didYouMean } from './nearest-id.ts'

/** What is wrong with a value. */
export interface ValidationError {
  /** dotted path of the value, such as trigger.action.bot_id; empty for the whole */
  path: string
  /** a sentence without its subject, which is the path */
  message: string
}

export interface ValidationErrorParts {
  path: string
  /** a requirement, such as: must be one of a, b */
  expected: string
  /** in words, or shown(value) */
  found: string
  /** what to do, such as: did you mean "a"? */
  suggestion?: string | undefined
}

/** Keys or values that a message lists; of more only the nearest is named. */
const mostListed = 16

/** A value in an error, as JSON of at most so many characters. */
export function shownWithin(value: unknown, most: number): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > most ? `${text.slice(0, most - 3)}...` : text
}

/** The same of at most 80 characters. It takes the value alone, so that lists of values can be mapped with it. */
export function shown(value: unknown): string {
  return shownWithin(value, 80)
}

/** "a or b", "a, b or c" */
export function anyOf(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
}

export function validationError({
  path,
  expected,
  found,
  suggestion,
}: ValidationErrorParts): ValidationError {
  return { path, message: `${expected}; found ${found}${suggestion === undefined ? '' : `; ${suggestion}`}` }
}

/** The error of a key that an object must not have. path ends with the key. */
export function unknownKey(path: string, key: string, known: readonly string[]): ValidationError {
  const listed = known.length > 0 && known.length <= mostListed ? ` (${known.join(', ')})` : ''
  return validationError({
    path,
    expected: `must be a known key${listed}`,
    found: shown(key),
    suggestion: didYouMean(key, known),
  })
}

/** The error of a key that is required. path ends with the key. */
export function missingKey(path: string): ValidationError {
  return validationError({ path, expected: 'is required', found: 'nothing' })
}
