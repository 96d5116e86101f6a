// Did you mean: the path of an event that comes nearest to one that leads nowhere. Pure.
import { edits } from '../nearest-id.ts'
import { rawNumber } from './exact-number.ts'

/** Paths of an event that are looked at, and how long they and their steps may be. */
const maxPaths = 500
const maxSteps = 12
const maxStepLength = 40

/** A path of an event, and its steps as they are compared. */
export interface EventPath {
  path: string
  steps: readonly Step[]
}

interface Step {
  text: string
  lower: string
  /** without what separates words */
  bare: string
}

function stepOf(text: string): Step {
  const lower = text.toLowerCase()
  return { text, lower, bare: lower.replaceAll(/[_-]/g, '') }
}

/** The paths of the plain values of an event, arrays passed through. */
export function pathsOf(event: unknown): EventPath[] {
  const found = new Map<string, EventPath>()
  const visit = (value: unknown, steps: readonly Step[]): void => {
    if (found.size >= maxPaths || steps.length > maxSteps) return
    if (Array.isArray(value)) for (const item of (value as unknown[]).slice(0, maxPaths)) visit(item, steps)
    else if (typeof value === 'object' && value !== null && rawNumber(value) === undefined)
      for (const key of Object.keys(value).slice(0, maxPaths))
        visit((value as Record<string, unknown>)[key], [...steps, ...key.split('.').map(stepOf)])
    else {
      const path = steps.map(step => step.text).join('.')
      found.set(path, { path, steps })
    }
  }
  visit(event, [])
  return [...found.values()]
}

/** How unlike two steps are: 0 the same, 1 nothing in common. */
function stepDistance(wanted: Step, found: Step): number {
  if (wanted.text === found.text) return 0
  if (wanted.bare === found.bare) return 0.1
  const [a, b] = [wanted.lower, found.lower]
  if (a.length > 1 && b.length > 1 && (a.startsWith(b) || b.startsWith(a))) return 0.3
  const longer = Math.max(a.length, b.length)
  // Lengths alone say that they have little in common.
  if (longer > maxStepLength || Math.abs(a.length - b.length) * 2 > longer) return 1
  return Math.min(1, (1.5 * edits(a, b)) / longer)
}

/** How unlike two paths are, or least and more; steps that are left out or too many count half. */
function distance(wanted: readonly Step[], found: readonly Step[], least: number): number {
  let row = Array.from({ length: found.length + 1 }, (_, index) => index * 0.5)
  for (const [at, step] of wanted.entries()) {
    const next = [(at + 1) * 0.5]
    for (const [to, other] of found.entries()) {
      const together = row[to]! < least ? row[to]! + stepDistance(step, other) : least
      next.push(Math.min(row[to + 1]! + 0.5, next[to]! + 0.5, together))
    }
    row = next
    if (Math.min(...row) >= least) return least
  }
  return row[found.length]!
}

/** The nearest path of a value in an event, or undefined where none is like it. */
export function nearestPath(path: string, paths: readonly EventPath[]): string | undefined {
  const wanted = path.split('.').map(stepOf)
  if (wanted.length > maxSteps) return undefined
  let nearest: string | undefined
  let least = Math.min(1.01, wanted.length * 0.5 + 0.01)
  for (const { path: candidate, steps } of paths) {
    if (Math.abs(steps.length - wanted.length) * 0.5 >= least) continue
    const own = distance(wanted, steps, least)
    if (own < least) [nearest, least] = [candidate, own]
  }
  return nearest
}
