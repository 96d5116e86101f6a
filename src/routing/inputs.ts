// Inputs: what a workflow is given, made from a template and the event.
//
// A string that is one {{ expression }} becomes the value itself, inside text it becomes text. A plain path is looked up
// here, and numbers keep their digits; anything else is JSONata, evaluated in a process of its own that is ended when it
// takes too long. JSONata computes with doubles: a number that no double holds is a string of its digits there.
import { canonicalJson, isRaw } from '../exact-json.ts'
import type { Expressions } from './expressions.ts'

/** A template that cannot be rendered: where in it, and why. */
export class InputsError extends Error {
  readonly path: string
  /** it took too long, or could not be tried at all: another time it may do */
  readonly transient: boolean

  constructor(path: string, reason: string, transient = false) {
    super(`${path}: ${reason}`)
    this.name = 'InputsError'
    this.path = path
    this.transient = transient
  }
}

type Part = { kind: 'text'; text: string } | { kind: 'expression'; source: string }

const opening = /\{\{|\}\}/g

/** Text and expressions in turn. Throws InputsError for braces without partner. */
function parts(text: string, path: string): Part[] {
  const result: Part[] = []
  let from = 0
  for (;;) {
    const start = text.indexOf('{{', from)
    if (start < 0) break
    const end = text.indexOf('}}', start + 2)
    if (end < 0) throw new InputsError(path, `"{{" without "}}" in ${JSON.stringify(text)}`)
    if (start > from) result.push({ kind: 'text', text: text.slice(from, start) })
    const source = text.slice(start + 2, end).trim()
    if (source === '')
      throw new InputsError(path, 'an expression was expected between {{ and }}; found nothing')
    result.push({ kind: 'expression', source })
    from = end + 2
  }
  if (from < text.length) result.push({ kind: 'text', text: text.slice(from) })
  return result
}

const plainPath = /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/
const headerPath = /^(event\.)?headers\.[a-z0-9-]+$/
/** A header in capitals: to JSONata a subtraction. */
const badHeader = /^headers\.[A-Za-z0-9-]*[A-Z][A-Za-z0-9-]*$/
const words = new Set(['true', 'false', 'null', 'and', 'or', 'in', 'function'])

function isPlain(source: string): boolean {
  // A header's name may hold hyphens; to JSONata they would be minus signs.
  return (
    headerPath.test(source) || (plainPath.test(source) && !source.split('.').some(step => words.has(step)))
  )
}

/** The value at a plain path; ok: false where the path meets a list, which JSONata maps over. */
function lookUp(source: string, scope: unknown): { ok: boolean; value: unknown } {
  let value = scope
  for (const step of source.split('.')) {
    if (Array.isArray(value)) return { ok: false, value: undefined }
    value =
      typeof value === 'object' && value !== null && !isRaw(value) && Object.hasOwn(value, step)
        ? (value as Record<string, unknown>)[step]
        : undefined
  }
  return { ok: true, value }
}

interface Found {
  path: string
  source: string
}

/** Every expression of a template, in the order in which rendering meets them. */
function expressionsOf(template: unknown, path: string): Found[] {
  if (typeof template === 'string') {
    if (!template.match(opening)) return []
    return parts(template, path).flatMap(part =>
      part.kind === 'expression' ? [{ path, source: part.source }] : [],
    )
  }
  if (Array.isArray(template))
    return template.flatMap((item, index) => expressionsOf(item, `${path}[${index}]`))
  if (typeof template !== 'object' || template === null || isRaw(template)) return []
  return Object.entries(template).flatMap(([key, value]) => expressionsOf(value, `${path}.${key}`))
}

/** The plain paths of a template that could be parsed, with where each is in it. */
export function plainPaths(template: unknown, path: string): Found[] {
  try {
    return expressionsOf(template, path).filter(({ source }) => isPlain(source) || badHeader.test(source))
  } catch (error) {
    if (error instanceof InputsError) return []
    throw error
  }
}

/** Checks a template when it is written. Throws InputsError with the path of what is wrong. */
export async function checkTemplate(
  template: unknown,
  name: string,
  expressions: Expressions,
): Promise<void> {
  for (const { path, source } of expressionsOf(template, name)) {
    if (isPlain(source)) continue
    const reason = await expressions.check(source)
    if (reason !== undefined) throw new InputsError(path, `in {{ ${source} }}: ${reason}`)
  }
}

/** Why a key's template cannot be used, or undefined: a key is made while an event is accepted, so it has plain paths only. */
export function keyRefusal(template: string): string | undefined {
  try {
    const hard = expressionsOf(template, 'key').find(({ source }) => !isPlain(source))
    return hard === undefined
      ? undefined
      : `{{ ${hard.source} }} is more than a path; keys have plain paths only, such as {{ payload.repository.full_name }}`
  } catch (error) {
    if (error instanceof InputsError) return error.message
    throw error
  }
}

/** A text of plain paths; a path that is missing in the event, or inside a list, gives nothing. */
export function renderText(template: string, scope: unknown): string {
  return textOf(template, scope, value => value)
}

/**
 * A key as text, which renderText makes of it, but for the spelling of its numbers: 10, 10.00 and 1e1 are one key, and
 * 813683310949021977 is itself.
 */
export function renderKey(template: string, scope: unknown): string {
  return textOf(template, scope, canonicalJson)
}

function textOf(template: string, scope: unknown, read: (value: unknown) => unknown): string {
  const values = expressionsOf(template, 'key').map(({ source }) => read(lookUp(source, scope).value))
  let at = 0
  return asText(filled(template, 'key', () => values[at++]))
}

export function asText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function filled(template: unknown, path: string, next: () => unknown): unknown {
  if (typeof template === 'string') {
    if (!template.match(opening)) return template
    const pieces = parts(template, path)
    if (pieces.length === 1 && pieces[0]!.kind === 'expression') return next() ?? null
    return pieces.map(piece => (piece.kind === 'text' ? piece.text : asText(next()))).join('')
  }
  if (Array.isArray(template)) return template.map((item, index) => filled(item, `${path}[${index}]`, next))
  if (typeof template !== 'object' || template === null || isRaw(template)) return template
  const entries = Object.entries(template).map(
    ([key, value]) => [key, filled(value, `${path}.${key}`, next)] as const,
  )
  return Object.fromEntries(entries)
}

/**
 * Renders a template over a scope. What is missing in the scope becomes null, inside text nothing.
 * Throws InputsError with the path of the input that failed and the reason.
 */
export async function renderTemplate(
  template: unknown,
  name: string,
  scope: unknown,
  expressions: Pick<Expressions, 'evaluate'>,
): Promise<unknown> {
  const found = expressionsOf(template, name)
  const values: unknown[] = []
  const hard: { index: number; found: Found }[] = []
  for (const [index, expression] of found.entries()) {
    const { ok, value } = isPlain(expression.source)
      ? lookUp(expression.source, scope)
      : { ok: false, value: undefined }
    values.push(value)
    if (!ok) hard.push({ index, found: expression })
  }
  if (hard.length > 0) {
    const answers = await expressions.evaluate(
      hard.map(each => each.found.source),
      scope,
    )
    for (const [place, answer] of answers.entries()) {
      const { index, found: expression } = hard[place]!
      if (!answer.ok)
        throw new InputsError(
          expression.path,
          `in {{ ${expression.source} }}: ${answer.reason}`,
          answer.transient,
        )
      values[index] = answer.value
    }
  }
  let at = 0
  return filled(template, name, () => values[at++])
}
