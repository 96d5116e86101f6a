// JSON values as YAML, for files that signalbox apply reads. Pure: no DOM.
import { isRaw } from '../json.ts'

/** Words and shapes that YAML 1.1 or 1.2 would read as something other than the text. */
const ambiguous = /^(?:~|null|true|false|yes|no|on|off|y|n|[-+.]?\d.*|[-+]?\.(?:inf|nan)|<<|=)$/i
const plain = /^[A-Za-z_/][\w ./@+$-]*$/

function scalar(value: unknown): string {
  if (isRaw(value)) return value.rawJSON
  if (typeof value !== 'string') return JSON.stringify(value)
  const isPlain = plain.test(value) && !ambiguous.test(value) && !value.endsWith(' ') && !value.includes(' #')
  return isPlain ? value : JSON.stringify(value)
}

const isEmpty = (value: object): boolean =>
  Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0
const isLeaf = (value: unknown): boolean =>
  typeof value !== 'object' || value === null || isRaw(value) || isEmpty(value)

function leafText(value: unknown): string {
  if (typeof value === 'object' && value !== null && !isRaw(value)) return Array.isArray(value) ? '[]' : '{}'
  return scalar(value)
}

function lines(value: unknown, indent: string): string[] {
  if (isLeaf(value)) return [indent + leafText(value)]
  if (Array.isArray(value))
    return value.every(isLeaf) && value.length <= 8
      ? [
          `${indent}[${value.map(each => (typeof each === 'string' && plain.test(each) && !ambiguous.test(each) ? each : leafText(each))).join(', ')}]`,
        ]
      : value.flatMap(each => {
          const [first, ...rest] = lines(each, `${indent}  `)
          return [`${indent}- ${first!.slice(indent.length + 2)}`, ...rest]
        })
  return Object.entries(value as object).flatMap(([key, each]) => {
    const name = `${indent}${scalar(key)}:`
    const below = lines(each, `${indent}  `)
    return below.length === 1 &&
      (isLeaf(each) || Array.isArray(each)) &&
      !below[0]!.trimStart().startsWith('- ')
      ? [`${name} ${below[0]!.trimStart()}`]
      : [name, ...below]
  })
}

/** A value as YAML, with a line feed at its end. */
export function yamlText(value: unknown): string {
  return `${lines(value, '').join('\n')}\n`
}
