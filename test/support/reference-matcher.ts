// The judge: a slow, obvious matcher, written for the tests alone. It takes the pattern as it was written, lists every
// leaf of the event with the array elements that it stands in, and tries all ways to choose one leaf per field.

type Json = unknown
interface Leaf {
  path: string
  value: string | number | boolean | null
  /** array (by the order of its appearance) -> index of the element */
  elements: Map<number, number>
}

function leavesOf(event: Json): Leaf[] {
  const leaves: Leaf[] = []
  let arrays = 0
  const walk = (value: Json, path: string[], elements: Map<number, number>): void => {
    if (Array.isArray(value)) {
      const array = arrays++
      for (const [index, item] of value.entries()) {
        const inside = typeof item === 'object' && item !== null
        walk(item, path, inside ? new Map([...elements, [array, index]]) : elements)
      }
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, child] of Object.entries(value)) walk(child, [...path, key], elements)
    } else leaves.push({ path: path.join('.'), value: value as Leaf['value'], elements })
  }
  walk(event, [], new Map())
  return leaves
}

function sameIgnoringCase(left: string, right: string): boolean {
  const escaped = left.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)
  return new RegExp(`^(?:${escaped})$`, 'iu').test(right)
}

function wildcardFits(pattern: string, text: string): boolean {
  if (pattern === '') return text === ''
  if (pattern[0] === '*') return wildcardFits(pattern.slice(1), text) || (text !== '' && wildcardFits(pattern, text.slice(1)))
  const [literal, rest] = pattern[0] === '\\' ? [pattern[1], pattern.slice(2)] : [pattern[0], pattern.slice(1)]
  return text !== '' && text[0] === literal && wildcardFits(rest, text.slice(1))
}

function textFits(operator: string, argument: Json, text: string): boolean {
  const ignoring = typeof argument === 'object' && argument !== null ? (argument as Record<string, string>)['equals-ignore-case']! : undefined
  const length = (ignoring ?? (argument as string)).length
  switch (operator) {
    case 'prefix':
      return ignoring === undefined ? text.startsWith(argument as string) : sameIgnoringCase(ignoring, text.slice(0, length))
    case 'suffix':
      return ignoring === undefined ? text.endsWith(argument as string) : text.length >= length && sameIgnoringCase(ignoring, text.slice(text.length - length))
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
  return parts.some(part => part > 255) ? undefined : parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n)
}

function cidrFits(block: string, text: string): boolean {
  const [address, bits] = block.split('/') as [string, string]
  const wanted = ipv4Number(address)
  const found = ipv4Number(text)
  if (wanted === undefined || found === undefined) throw new Error('the reference knows v4 only')
  return wanted >> (32n - BigInt(bits)) === found >> (32n - BigInt(bits))
}

function fits(test: Json, value: Leaf['value']): boolean {
  if (typeof test !== 'object' || test === null) return typeof test === 'number' ? test === value : Object.is(test, value)
  const [operator, argument] = Object.entries(test)[0]!
  switch (operator) {
    case 'anything-but': {
      if (typeof argument === 'object' && !Array.isArray(argument)) {
        const [inner, texts] = Object.entries(argument as object)[0]!
        return typeof value !== 'string' || !([texts].flat() as Json[]).some(text => textFits(inner, text, value))
      }
      return !([argument].flat() as Json[]).some(excluded => excluded === value)
    }
    case 'numeric': {
      if (typeof value !== 'number') return false
      const list = argument as (string | number)[]
      const one = (sign: string, bound: number): boolean =>
        ({ '=': value === bound, '<': value < bound, '<=': value <= bound, '>': value > bound, '>=': value >= bound })[sign]!
      return one(list[0] as string, list[1] as number) && (list.length === 2 || one(list[2] as string, list[3] as number))
    }
    case 'exists':
      return argument === true
    case 'cidr':
      return typeof value === 'string' && ipv4Number(value) !== undefined && cidrFits(argument as string, value)
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

function agrees(left: Map<number, number>, right: Map<number, number>): boolean {
  return [...left].every(([array, index]) => !right.has(array) || right.get(array) === index)
}

function holds(fields: Field[], leaves: Leaf[], fixed: Map<number, number>): boolean {
  const [field, ...rest] = fields
  if (field === undefined) return true
  const [path, alternatives] = field
  const there = leaves.filter(leaf => leaf.path === path && agrees(fixed, leaf.elements))
  const mayBeAbsent = alternatives.some(test => typeof test === 'object' && test !== null && (test as { exists?: boolean }).exists === false)
  if (mayBeAbsent && there.length === 0 && holds(rest, leaves, fixed)) return true
  return there.some(leaf => alternatives.some(test => fits(test, leaf.value)) && holds(rest, leaves, new Map([...fixed, ...leaf.elements])))
}

/** Whether an event matches a pattern that was accepted. */
export function referenceMatches(pattern: Record<string, Json>, event: Json): boolean {
  const leaves = leavesOf(event)
  return waysOf(pattern, []).some(way =>
    holds(
      way.toSorted(([a], [b]) => (a < b ? -1 : 1)),
      leaves,
      new Map(),
    ),
  )
}
