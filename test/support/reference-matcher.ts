// The judge: a slow, obvious matcher, written for the tests alone. It takes the pattern as it was written, lists every
// leaf of the event with the array elements that it stands in, and tries all ways to choose one leaf per field.

type Json = unknown
/** A number as it was written: parsed JSON has it as JSON.rawJSON. */
class Decimal {
  readonly digits: bigint
  readonly exponent: number

  constructor(source: string) {
    const [mantissa = '', exponent = '0'] = source.toLowerCase().split('e')
    const [whole = '', fraction = ''] = mantissa.split('.')
    this.digits = BigInt(whole + fraction)
    this.exponent = Number(exponent) - fraction.length
  }

  /** Below zero, zero, or above zero. */
  compare(other: Decimal): number {
    const least = Math.min(this.exponent, other.exponent)
    const [left, right] = [this, other].map(
      ({ digits, exponent }) => digits * 10n ** BigInt(exponent - least),
    ) as [bigint, bigint]
    return left < right ? -1 : left > right ? 1 : 0
  }
}

type Value = string | boolean | null | Decimal

/** An element of an array. */
interface Element {
  id: string
  /** steps of the path at which the array stands */
  depth: number
}

interface Leaf {
  path: string
  value: Value
  /** the elements that it stands in, from the outside to the inside */
  elements: Element[]
}

const { isRawJSON } = JSON as unknown as { isRawJSON: (value: unknown) => value is { rawJSON: string } }

function valueOf(value: Json): Value {
  if (isRawJSON(value)) return new Decimal(value.rawJSON)
  return typeof value === 'number' ? new Decimal(String(value)) : (value as string | boolean | null)
}

function isCompound(value: Json): boolean {
  return typeof value === 'object' && value !== null && !isRawJSON(value)
}

function leavesOf(event: Json): Leaf[] {
  const leaves: Leaf[] = []
  let arrays = 0
  const walk = (value: Json, path: string[], elements: Element[]): void => {
    if (Array.isArray(value)) {
      const [array, depth] = [arrays++, path.join('.').split('.').length]
      for (const [index, item] of value.entries())
        walk(item, path, isCompound(item) ? [...elements, { id: `${array} ${index}`, depth }] : elements)
    } else if (isCompound(value)) {
      for (const [key, child] of Object.entries(value as object)) walk(child, [...path, key], elements)
    } else leaves.push({ path: path.join('.'), value: valueOf(value), elements })
  }
  walk(event, [], [])
  return leaves
}

function sameIgnoringCase(left: string, right: string): boolean {
  const escaped = left.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)
  return new RegExp(`^(?:${escaped})$`, 'iu').test(right)
}

function wildcardFits(pattern: string, text: string): boolean {
  if (pattern === '') return text === ''
  if (pattern[0] === '*')
    return wildcardFits(pattern.slice(1), text) || (text !== '' && wildcardFits(pattern, text.slice(1)))
  const [literal, rest] =
    pattern[0] === '\\' ? [pattern[1], pattern.slice(2)] : [pattern[0], pattern.slice(1)]
  return text !== '' && text[0] === literal && wildcardFits(rest, text.slice(1))
}

function textFits(operator: string, argument: Json, text: string): boolean {
  const ignoring =
    typeof argument === 'object' && argument !== null
      ? (argument as Record<string, string>)['equals-ignore-case']!
      : undefined
  const length = (ignoring ?? (argument as string)).length
  switch (operator) {
    case 'prefix':
      return ignoring === undefined
        ? text.startsWith(argument as string)
        : sameIgnoringCase(ignoring, text.slice(0, length))
    case 'suffix':
      return ignoring === undefined
        ? text.endsWith(argument as string)
        : text.length >= length && sameIgnoringCase(ignoring, text.slice(text.length - length))
    case 'equals-ignore-case':
      return sameIgnoringCase(argument as string, text)
    case 'wildcard':
      return wildcardFits(argument as string, text)
    default:
      throw new Error(`unknown operator ${operator}`)
  }
}

function ipv4Number(text: string): bigint | undefined {
  if (!/^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(text)) return undefined
  const parts = text.split('.').map(Number)
  return parts.some(part => part > 255)
    ? undefined
    : parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n)
}

function cidrFits(block: string, text: string): boolean {
  const [address, bits] = block.split('/') as [string, string]
  const wanted = ipv4Number(address)
  const found = ipv4Number(text)
  if (wanted === undefined || found === undefined) throw new Error('the reference knows v4 only')
  return wanted >> (32n - BigInt(bits)) === found >> (32n - BigInt(bits))
}

/** Whether a value is the one that a pattern names. */
function same(named: Json, value: Value): boolean {
  const wanted = valueOf(named)
  return wanted instanceof Decimal
    ? value instanceof Decimal && wanted.compare(value) === 0
    : wanted === value
}

function listOf(value: Json): Json[] {
  return Array.isArray(value) ? value : [value]
}

function fits(test: Json, value: Value): boolean {
  if (!isCompound(test)) return same(test, value)
  const [operator, argument] = Object.entries(test as object)[0]! as [string, Json]
  switch (operator) {
    case 'anything-but': {
      if (isCompound(argument) && !Array.isArray(argument)) {
        const [inner, texts] = Object.entries(argument as object)[0]! as [string, Json]
        return typeof value !== 'string' || !listOf(texts).some(text => textFits(inner, text, value))
      }
      return !listOf(argument).some(excluded => same(excluded, value))
    }
    case 'numeric': {
      if (!(value instanceof Decimal)) return false
      const list = argument as Json[]
      const one = (sign: string, bound: Json): boolean => {
        const order = value.compare(valueOf(bound) as Decimal)
        return { '=': order === 0, '<': order < 0, '<=': order <= 0, '>': order > 0, '>=': order >= 0 }[sign]!
      }
      return one(list[0] as string, list[1]) && (list.length === 2 || one(list[2] as string, list[3]))
    }
    case 'exists':
      return argument === true
    case 'cidr':
      return (
        typeof value === 'string' && ipv4Number(value) !== undefined && cidrFits(argument as string, value)
      )
    default:
      return typeof value === 'string' && textFits(operator, argument, value)
  }
}

type Field = [path: string, alternatives: Json[]]

/** All ways through $or, each as its fields. */
function waysOf(pattern: Record<string, Json>, prefix: string[]): Field[][] {
  let ways: Field[][] = [[]]
  for (const [key, value] of Object.entries(pattern)) {
    const parts =
      key === '$or'
        ? (value as Record<string, Json>[]).flatMap(each => waysOf(each, prefix))
        : Array.isArray(value)
          ? [[[[...prefix, key].join('.'), value] as Field]]
          : waysOf(value as Record<string, Json>, [...prefix, key])
    ways = ways.flatMap(way => parts.map(part => [...way, ...part]))
  }
  return ways
}

function sharedSteps(left: string, right: string): number {
  const [a, b] = [left.split('.'), right.split('.')]
  const differ = a.findIndex((step, index) => step !== b[index])
  return differ < 0 ? a.length : differ
}

/** Whether two values may be chosen together: on the steps that their paths share, one stands in the elements of the other. */
function agrees(left: Leaf, right: Leaf): boolean {
  const steps = sharedSteps(left.path, right.path)
  const [a, b] = [left, right].map(({ elements }) => elements.filter(({ depth }) => depth <= steps)) as [
    Element[],
    Element[],
  ]
  return a.slice(0, b.length).every(({ id }, at) => id === b[at]!.id)
}

/** Whether values of some fields stand both in an element and beside it, on the steps that their paths share. */
function isMixed(fields: Field[], leaves: Leaf[]): boolean {
  const own = leaves.filter(leaf => fields.some(([path]) => path === leaf.path))
  return own.some(outer =>
    own.some(inner => {
      const steps = sharedSteps(outer.path, inner.path)
      const [a, b] = [outer, inner].map(
        ({ elements }) => elements.filter(({ depth }) => depth <= steps).length,
      ) as [number, number]
      return a < b && agrees(outer, inner)
    }),
  )
}

function holds(fields: Field[], leaves: Leaf[], chosen: Leaf[], mixed: boolean): boolean {
  const [field, ...rest] = fields
  if (field === undefined) return true
  const [path, alternatives] = field
  const there = leaves.filter(leaf => leaf.path === path && chosen.every(other => agrees(other, leaf)))
  const mayBeAbsent = alternatives.some(
    test => typeof test === 'object' && test !== null && (test as { exists?: boolean }).exists === false,
  )
  const isAbsent = mixed ? leaves.every(leaf => leaf.path !== path) : there.length === 0
  if (mayBeAbsent && isAbsent && holds(rest, leaves, chosen, mixed)) return true
  return there.some(
    leaf =>
      alternatives.some(test => fits(test, leaf.value)) && holds(rest, leaves, [...chosen, leaf], mixed),
  )
}

/** Whether an event matches a pattern that was accepted. */
export function referenceMatches(pattern: Record<string, Json>, event: Json): boolean {
  const leaves = leavesOf(event)
  return waysOf(pattern, []).some(way =>
    holds(
      way.toSorted(([a], [b]) => (a < b ? -1 : 1)),
      leaves,
      [],
      isMixed(way, leaves),
    ),
  )
}
