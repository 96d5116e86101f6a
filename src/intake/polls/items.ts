// What a reading holds: items with their keys, or a number.
import { hash } from 'node:crypto'
import { defaults } from '../../contract/defaults.ts'
import { contextFiles, type ContextFileBytes, type ContextFileGiven } from '../../context-files.ts'
import type { PollConfig, WatchConfig } from '../../contract/types.ts'
import { exactJson } from '../../exact-json.ts'
import { exceededLimit, type JsonLimits } from '../../json-text.ts'
import type { Expressions } from '../../routing/expressions.ts'
import { InputsError, renderKey, renderTemplate, renderText } from '../../routing/inputs.ts'
import { rest } from '../../turns.ts'

/** What was read is not what it should be; the message says what was expected and found. */
export class ReadingError extends Error {}

export interface Item {
  key: string
  subject: string | null
  json: string
}

export interface ItemLimits extends JsonLimits {
  max_body_bytes: number
}

const maxKeyLength = 1024
const maxItems = 50_000
/** What surrounds the items of an answer may nest so deep by itself. */
const maxDepthAround = 16
/** An answer holds many items: so many times the values and keys of one event. Parsed they take up to 100 MiB. */
const bodiesOfAnswer = 5
/** Characters of a value that an error shows. */
const maxShown = 60

function shown(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > maxShown ? `${value.slice(0, maxShown)}...` : value)
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > maxShown ? `${text.slice(0, maxShown)}...` : text
}

/**
 * Limits that hold before an answer is parsed: parsing takes time and memory with every value, and brackets alone, nested
 * without end, take the stack. Throws ReadingError.
 */
function assertParsable(text: string, { json_depth, json_tokens }: JsonLimits, what: string): void {
  const exceeded = exceededLimit(Buffer.from(text), {
    json_depth: json_depth + maxDepthAround,
    json_tokens: json_tokens * bodiesOfAnswer,
  })
  if (exceeded !== undefined)
    throw new ReadingError(
      `${what} is too large: ${exceeded} (the limits are ${maxDepthAround} above json_depth and ${bodiesOfAnswer} times json_tokens)`,
    )
}

function parsed(text: string, what: string): unknown {
  try {
    return exactJson(text)
  } catch {
    throw new ReadingError(`${what} is not JSON; it begins ${shown(text)}`)
  }
}

function assertCount(count: number): void {
  if (count > maxItems)
    throw new ReadingError(`what was read has ${count} items; at most ${maxItems} are taken`)
}

function answerOf(text: string, format: PollConfig['format'], limits: JsonLimits): unknown {
  if (format !== 'lines') assertParsable(text, limits, 'what was read')
  if ((format ?? defaults.PollConfig.format) === 'json') return parsed(text, 'what was read')
  const lines = text.split(/\r?\n/).filter(line => line.trim() !== '')
  // Before each is parsed, and where an expression over all of them would be given more than it can hold.
  assertCount(lines.length)
  return format === 'lines' ? lines : lines.map((line, index) => parsed(line, `line ${index + 1}`))
}

async function rendered(
  template: string,
  name: string,
  scope: object,
  expressions: Pick<Expressions, 'evaluate'>,
): Promise<unknown> {
  try {
    return await renderTemplate(template, name, scope, expressions)
  } catch (error) {
    if (error instanceof InputsError) throw new ReadingError(error.message)
    throw error
  }
}

/** The key of items that are known again by all of them. */
function wholeKey(text: string): string {
  return text.length > maxKeyLength ? `sha256:${hash('sha256', text)}` : text
}

function itemOf(value: unknown, { key, subject }: PollConfig, limits: ItemLimits): Item | string {
  const json = JSON.stringify(value)
  const known =
    key === undefined ? wholeKey(typeof value === 'string' ? value : json) : renderKey(key, { item: value })
  if (known === '') return `has nothing at its key ${key}`
  if (known.length > maxKeyLength) return `has a key of more than ${maxKeyLength} characters`
  const bytes = Buffer.from(json)
  if (bytes.length > limits.max_body_bytes)
    return `has ${bytes.length} bytes, more than ${limits.max_body_bytes} (max_body_bytes)`
  const exceeded = exceededLimit(bytes, limits)
  if (exceeded !== undefined) return exceeded
  const about = subject === undefined ? '' : renderText(subject, { item: value })
  if (about.length > maxKeyLength) return `has a subject of more than ${maxKeyLength} characters`
  return { key: known, subject: about === '' ? null : about, json }
}

/** The items of what was read, and what is wrong with those that cannot be used. Throws ReadingError. */
export async function itemsOf(
  text: string,
  config: PollConfig,
  limits: ItemLimits,
  expressions: Pick<Expressions, 'evaluate'>,
): Promise<{ items: Item[]; problems: string[] }> {
  const answer = answerOf(text, config.format, limits)
  const list =
    config.items === undefined ? answer : await rendered(config.items, 'items', { answer }, expressions)
  if (!Array.isArray(list)) {
    const where = config.items === undefined ? 'what was read' : `what is at ${config.items}`
    throw new ReadingError(`${where} is no list of items but ${shown(list)}`)
  }
  assertCount(list.length)
  const items: Item[] = []
  const problems: string[] = []
  for (const [index, value] of list.entries()) {
    const pause = rest()
    if (pause !== undefined) await pause
    const item = itemOf(value, config, limits)
    if (typeof item === 'string') problems.push(`item ${index + 1} ${item}`)
    else items.push(item)
  }
  return { items, problems }
}

/** The number of what was read. Throws ReadingError where there is none. */
export async function numberOf(
  text: string,
  { value = '{{ answer }}' }: WatchConfig,
  limits: JsonLimits,
  expressions: Pick<Expressions, 'evaluate'>,
): Promise<number> {
  assertParsable(text, limits, 'what was read')
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    answer = text.trim()
  }
  const found = await rendered(value, 'value', { answer }, expressions)
  const number = typeof found === 'string' && found.trim() !== '' ? Number(found) : found
  if (typeof number !== 'number' || !Number.isFinite(number))
    throw new ReadingError(`a number was expected; found ${shown(found)}`)
  return number
}

function isFile(value: unknown): value is ContextFileGiven {
  const { name, content, encoding } = (typeof value === 'object' && value !== null ? value : {}) as Partial<
    Record<keyof ContextFileGiven, unknown>
  >
  return (
    typeof name === 'string' &&
    typeof content === 'string' &&
    (encoding === undefined || encoding === 'utf8' || encoding === 'base64')
  )
}

/** The context files that a command printed, or what is wrong with them. */
export function contextOf(text: string, limits: JsonLimits): ContextFileBytes[] | string {
  const exceeded = exceededLimit(Buffer.from(text), limits)
  if (exceeded !== undefined) return `what it printed is too large: ${exceeded}`
  let given: unknown
  try {
    given = text.trim() === '' ? [] : (JSON.parse(text) as unknown)
  } catch {
    return `what it printed is not JSON; it begins ${shown(text)}`
  }
  if (!Array.isArray(given) || !given.every(isFile))
    return `it is to print a list of {name, content, encoding?}; it printed ${shown(given)}`
  const checked = contextFiles(given)
  if ('files' in checked) return checked.files
  const { index, reason } = checked.refusal
  return `${index === undefined ? 'its list' : `file ${JSON.stringify(given[index]!.name)}`} ${reason}`
}
