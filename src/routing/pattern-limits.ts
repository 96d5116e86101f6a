// The limits of the pattern language, and how a filter that is refused says so.
import { shownWithin } from '../validation-error.ts'

/** A filter that cannot be compiled: where, what was expected, what was found. */
export class PatternError extends Error {
  readonly path: string

  constructor(path: string, message: string) {
    super(message)
    this.name = 'PatternError'
    this.path = path
  }
}

export const patternLimits = {
  depth: 32,
  fields: 100,
  alternatives: 1000,
  operators: 100,
  branches: 256,
  wildcardStars: 16,
  wildcardLength: 512,
  textLength: 4096,
  numberLength: 512,
} as const

/** What was found, for an error. */
export function shown(value: unknown): string {
  return shownWithin(value, 60)
}
