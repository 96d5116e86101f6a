// JSON whose numbers keep their digits: 813683310949021977 is not a double, and 10.00 is 10 after JSON.parse. Such a number is a
// JSON.rawJSON object, which JSON.stringify writes as its text again. Pure: no DOM.

/** A number that JSON.parse would change, as its text. */
export interface RawNumber {
  readonly rawJSON: string
}

/** In browsers since 2023 (Chromium 114, Firefox 135, Safari 18.4) and in Node 21, but not in the types. */
const raw = JSON as unknown as {
  rawJSON: (text: string) => RawNumber
  isRawJSON: (value: unknown) => value is RawNumber
}

export const isRaw = (value: unknown): value is RawNumber => raw.isRawJSON(value)

/** Numbers that may be spelled unlike their doubles. Most texts have none, and a reviver costs ten times as much. */
const candidate = /(?:^|[:,[\s])(?:-?(?:\d+[.eE][\d.eE+-]*|\d{16,})|-0)(?=[\s,\]}]|$)/

/** Reads a JSON text. Throws SyntaxError. */
export function readJson(text: string): unknown {
  if (!candidate.test(text)) return JSON.parse(text)
  const keep = (_key: string, value: unknown, context?: { source: string }): unknown =>
    typeof value === 'number' && context !== undefined && String(value) !== context.source
      ? raw.rawJSON(context.source)
      : value
  return JSON.parse(text, keep)
}

/** A value as JSON of several lines. */
export function writeJson(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? 'null'
}

export type Kind = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null'

export function kindOf(value: unknown): Kind {
  if (value === null || value === undefined) return 'null'
  if (isRaw(value)) return 'number'
  if (Array.isArray(value)) return 'array'
  return typeof value as Kind
}

/** A path to a value as filters write it: payload.issue.labels.0.name. Keys with dots and brackets are quoted. */
export function pathText(path: readonly (string | number)[]): string {
  return path
    .map(each => (typeof each === 'string' && /[.[\]"\s]/.test(each) ? JSON.stringify(each) : String(each)))
    .join('.')
}
