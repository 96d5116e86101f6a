// Answers of bots as JSON. max_response_bytes may be 16 MiB: parsing so much takes a second where it is all brackets and
// commas, so depth and number of values are limited before.
import { exceededLimit } from '../json-text.ts'

/** As the defaults of json_depth and json_tokens for what comes in. */
const limits = { json_depth: 64, json_tokens: 200_000 }

/** What an answer holds more than is parsed, in words; undefined: it can be parsed. */
export function tooMuch(text: string): string | undefined {
  return exceededLimit(Buffer.from(text), limits)
}

/** The value of an answer; undefined where it is not JSON, or too much of it. */
export function answerValue(text: string): { value: unknown } | undefined {
  if (tooMuch(text) !== undefined) return undefined
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    return undefined
  }
}

/** Returns the text if it is valid JSON, otherwise null, for example when the answer was cut off. */
export function jsonText(text: string): string | null {
  return answerValue(text) === undefined ? null : text
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The result of a command: its standard output where all of that is JSON, else the last line of it that is a JSON object; null: neither.
 * truncated: the beginning of the output is missing, and only whole lines count.
 */
export function commandResult(stdout: string, truncated: boolean): string | null {
  const whole = truncated ? null : jsonText(stdout)
  if (whole !== null) return whole
  const first = truncated ? stdout.indexOf('\n') + 1 : 0
  if (truncated && first === 0) return null
  for (let end = stdout.length; end > first;) {
    const begin = Math.max(first, stdout.lastIndexOf('\n', end - 1) + 1)
    const line = stdout.slice(begin, end).trim()
    if (line.startsWith('{') && line.endsWith('}') && isObject(answerValue(line)?.value)) return line
    end = begin - 1
  }
  return null
}
