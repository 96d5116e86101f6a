// What a reading holds: items with their keys, or a number.
import { hash } from 'node:crypto'
import { setImmediate as breath } from 'node:timers/promises'
import { contextFiles, type ContextFileBytes, type ContextFileGiven } from '../context-files.ts'
import type { PollConfig, WatchConfig } from '../contract/types.ts'
import { exactJson, exceededLimit, type JsonLimits } from '../json-text.ts'
import type { Expressions } from '../routing/expressions.ts'
import { InputsError, renderKey, renderTemplate } from '../routing/inputs.ts'

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
/** Items of one answer, and how many are looked at between two breaths: some 5 ms. */
const mostItems = 50_000
const atOnce = 500

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value)
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 60 ? `${text.slice(0, 60)}...` : text
}

function parsed(text: string, what: string): unknown {
  try {
    return exactJson(text)
  } catch {
    throw new ReadingError(`${what} is not JSON; it begins ${shown(text)}`)
  }
}

function answerOf(text: string, format: PollConfig['format']): unknown {
  if (format === undefined || format === 'json') return parsed(text, 'what was read')
  const lines = text.split(/\r?\n/).filter(line => line.trim() !== '')
  return format === 'lines' ? lines : lines.map((line, index) => parsed(line, `line ${index + 1}`))
}

async function rendered(template: string, name: string, scope: object, expressions: Expressions): Promise<unknown> {
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
  const known = key === undefined ? wholeKey(typeof value === 'string' ? value : json) : renderKey(key, { item: value })
  if (known === '') return `has nothing at its key ${key}`
  if (known.length > maxKeyLength) return `has a key of more than ${maxKeyLength} characters`
  const bytes = Buffer.from(json)
  if (bytes.length > limits.max_body_bytes) return `has ${bytes.length} bytes, more than ${limits.max_body_bytes} (max_body_bytes)`
  const exceeded = exceededLimit(bytes, limits)
  if (exceeded !== undefined) return exceeded
  const about = subject === undefined ? '' : renderKey(subject, { item: value })
  if (about.length > maxKeyLength) return `has a subject of more than ${maxKeyLength} characters`
  return { key: known, subject: about === '' ? null : about, json }
}

/** The items of what was read, and what is wrong with those that cannot be used. Throws ReadingError. */
export async function itemsOf(text: string, config: PollConfig, limits: ItemLimits, expressions: Expressions): Promise<{ items: Item[]; problems: string[] }> {
  const answer = answerOf(text, config.format)
  const list = config.items === undefined ? answer : await rendered(config.items, 'items', { answer }, expressions)
  if (!Array.isArray(list)) {
    const where = config.items === undefined ? 'what was read' : `what stands at ${config.items}`
    throw new ReadingError(`${where} is no list of items but ${shown(list)}`)
  }
  if (list.length > mostItems) throw new ReadingError(`what was read has ${list.length} items; at most ${mostItems} are taken`)
  const items: Item[] = []
  const problems: string[] = []
  for (const [index, value] of list.entries()) {
    if (index % atOnce === atOnce - 1) await breath()
    const item = itemOf(value, config, limits)
    if (typeof item === 'string') problems.push(`item ${index + 1} ${item}`)
    else items.push(item)
  }
  return { items, problems }
}

/** The number of what was read. Throws ReadingError where there is none. */
export async function numberOf(text: string, { value = '{{ answer }}' }: WatchConfig, expressions: Expressions): Promise<number> {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    answer = text.trim()
  }
  const found = await rendered(value, 'value', { answer }, expressions)
  const number = typeof found === 'string' && found.trim() !== '' ? Number(found) : found
  if (typeof number !== 'number' || !Number.isFinite(number)) throw new ReadingError(`a number was expected; found ${shown(found)}`)
  return number
}

function isFile(value: unknown): value is ContextFileGiven {
  const { name, content, encoding } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Record<keyof ContextFileGiven, unknown>>
  return typeof name === 'string' && typeof content === 'string' && (encoding === undefined || encoding === 'utf8' || encoding === 'base64')
}

/** The context files that a command printed, or what is wrong with them. */
export function contextOf(text: string): ContextFileBytes[] | string {
  let given: unknown
  try {
    given = text.trim() === '' ? [] : (JSON.parse(text) as unknown)
  } catch {
    return `what it printed is not JSON; it begins ${shown(text)}`
  }
  if (!Array.isArray(given) || !given.every(isFile)) return `it is to print a list of {name, content, encoding?}; it printed ${shown(given)}`
  const checked = contextFiles(given)
  if ('files' in checked) return checked.files
  const { index, reason } = checked.refusal
  return `${index === undefined ? 'its list' : `file ${JSON.stringify(given[index]!.name)}`} ${reason}`
}
