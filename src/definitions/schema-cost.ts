// What checking payloads against a schema can cost, known from the schema alone. Pure.
//
// A schema is a graph: its subschemas are the nodes; an edge leads to the same value (anyOf, $ref, ...) or to a part of it
// (properties, items, ...). If from one subschema two ways lead back to it for the same part of a value, every level
// doubles the work: 446 bytes of schema and a payload of 30 levels take longer than anybody waits. Without recursion the
// work for one value is at most the schema with all its references written out.

type Part = 'element' | 'member' | 'name'

/** How a subschema is reached. */
interface Edge {
  to: Subschema
  /** where the reference or subschema stands, by dotted path */
  at: string
  /** which parts of a value it leads to; undefined: to the value itself */
  part: Part | undefined
  /** no other such edge leads to the same part: of all of them one goes on from any part */
  apart: boolean
}

interface Subschema {
  at: string
  /** JSON values of it, without its subschemas: what is done with one value, at most */
  values: number
  edges: Edge[]
  /** number of its component: subschemas that lead to one another */
  component: number
}

/** Values that are compared with one another for uniqueItems count as so many. */
const uniqueValues = 500
/** A recursion into another is begun again at each level of a payload, of which there are as many as json_depth allows by default. */
const levels = 64

const sameLists = ['allOf', 'anyOf', 'oneOf']
const sameOnes = ['not', 'if', 'then', 'else']
const sameMaps = ['dependencies', 'dependentSchemas']
const partMaps = ['properties', 'patternProperties']
const partOnes = new Map<string, Part>([
  ['items', 'element'],
  ['additionalItems', 'element'],
  ['contains', 'element'],
  ['unevaluatedItems', 'element'],
  ['additionalProperties', 'member'],
  ['unevaluatedProperties', 'member'],
  ['propertyNames', 'name'],
])
/** These share out the parts of a value among them. */
const apart = new Set(['properties', 'items', 'prefixItems', 'additionalItems', 'additionalProperties'])

type Json = Record<string, unknown>

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function valuesIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce((sum: number, each) => sum + valuesIn(each), 1)
}

/** Returns the value at a reference into a document, or undefined if ref is neither # nor #/path, or if nothing is there. */
function referred(document: unknown, ref: unknown): unknown {
  if (typeof ref !== 'string' || !/^#(\/|$)/.test(ref)) return undefined
  let value = document
  for (const step of ref.slice(1).split('/').slice(1)) {
    let name = step.replaceAll('~1', '/').replaceAll('~0', '~')
    try {
      name = decodeURIComponent(name)
    } catch {
      return undefined
    }
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Json)[name]
  }
  return value
}

/** Subschemas of a schema, one object each; where a reference leads nowhere that is known, its place is noted. */
class Graph {
  readonly all: Subschema[] = []
  readonly unknown: string[] = []
  readonly #document: unknown
  readonly #known = new Map<Json, Subschema>()
  readonly #open: [Json, Subschema][] = []
  readonly root: Subschema

  constructor(document: Json) {
    this.#document = document
    this.root = this.#subschema(document, '')
    // A list instead of recursion: a chain of references may be a thousand long.
    for (let next = this.#open.pop(); next !== undefined; next = this.#open.pop()) this.#connect(...next)
  }

  #subschema(schema: Json, at: string): Subschema {
    const known = this.#known.get(schema)
    if (known !== undefined) return known
    const made: Subschema = { at, values: 1, edges: [], component: -1 }
    this.#known.set(schema, made)
    this.all.push(made)
    this.#open.push([schema, made])
    return made
  }

  #connect(schema: Json, from: Subschema): void {
    const below = (name: string): string => (from.at === '' ? name : `${from.at}.${name}`)
    const lead = (to: unknown, name: string, part?: Part): void => {
      if (isObject(to))
        from.edges.push({
          to: this.#subschema(to, below(name)),
          at: below(name),
          part,
          apart: apart.has(name.split('.', 1)[0]!),
        })
    }
    for (const [name, value] of Object.entries(schema)) {
      if (name === '$ref') this.#refer(value, from, below(name))
      else if (name === '$id' && from !== this.root && typeof value === 'string')
        this.unknown.push(below(name))
      else if (name === 'definitions' || name === '$defs') continue
      else if (sameLists.includes(name) && Array.isArray(value))
        for (const [index, each] of value.entries()) lead(each, `${name}.${index}`)
      else if (sameOnes.includes(name)) lead(value, name)
      else if (sameMaps.includes(name) && isObject(value))
        for (const [key, each] of Object.entries(value)) lead(each, `${name}.${key}`)
      else if (partMaps.includes(name) && isObject(value)) {
        for (const [key, each] of Object.entries(value)) lead(each, `${name}.${key}`, 'member')
        from.values += Object.keys(value).length
      } else if ((name === 'items' || name === 'prefixItems') && Array.isArray(value))
        for (const [index, each] of value.entries()) lead(each, `${name}.${index}`, 'element')
      else if (partOnes.has(name)) lead(value, name, partOnes.get(name))
      else if (name === 'uniqueItems') from.values += uniqueValues
      else from.values += valuesIn(value)
    }
  }

  #refer(ref: unknown, from: Subschema, at: string): void {
    const target = referred(this.#document, ref)
    if (isObject(target))
      from.edges.push({
        to: this.#subschema(target, String(ref).slice(2).replaceAll('/', '.')),
        at,
        part: undefined,
        apart: false,
      })
    else if (typeof target !== 'boolean') this.unknown.push(at)
  }
}

/** Numbers the components, those that are led to before those that lead there (Tarjan). */
function components(graph: Graph): Subschema[][] {
  const found: Subschema[][] = []
  const order = new Map<Subschema, number>()
  const low = new Map<Subschema, number>()
  const stack: Subschema[] = []
  const close = (node: Subschema): void => {
    if (low.get(node) !== order.get(node)) return
    const members = stack.splice(stack.lastIndexOf(node))
    for (const member of members) member.component = found.length
    found.push(members)
  }
  const open = (node: Subschema): { node: Subschema; edge: number } => {
    order.set(node, order.size)
    low.set(node, order.get(node)!)
    stack.push(node)
    return { node, edge: 0 }
  }
  const lower = (node: Subschema, to: number): void => void low.set(node, Math.min(low.get(node)!, to))
  const path = [open(graph.root)]
  while (path.length > 0) {
    const here = path.at(-1)!
    const next = here.node.edges[here.edge++]?.to
    if (next === undefined) {
      path.pop()
      close(here.node)
      if (path.length > 0) lower(path.at(-1)!.node, low.get(here.node)!)
    } else if (!order.has(next)) path.push(open(next))
    else if (next.component < 0) lower(here.node, order.get(next)!)
  }
  return found
}

function isRecursive(members: readonly Subschema[]): boolean {
  return members.some(({ edges, component }) => edges.some(({ to }) => to.component === component))
}

/** To which parts of its value a subschema leads on within its component, by itself or by others for the same value. */
function partsOf(from: Subschema): Set<Part> {
  const parts = new Set<Part>()
  const seen = new Set([from])
  for (const { edges } of seen)
    for (const { to, part } of edges) {
      if (to.component !== from.component) continue
      if (part === undefined) seen.add(to)
      else parts.add(part)
    }
  return parts
}

/** Returns two edges of one subschema that lead back to it for the same part of a value, or undefined if there are none. */
function branching(members: readonly Subschema[]): [Edge, Edge] | undefined {
  for (const { edges, component } of members) {
    const back = edges.filter(({ to }) => to.component === component)
    // One that keeps to itself is met by those that do not alone.
    const open = back.filter(edge => !edge.apart)
    if (back.length < 2 || open.length === 0) continue
    const parts = new Map(
      back.map(edge => [edge, edge.part === undefined ? partsOf(edge.to) : new Set([edge.part])]),
    )
    for (const one of open) {
      const other = back.find(
        edge => edge !== one && [...parts.get(edge)!].some(part => parts.get(one)!.has(part)),
      )
      if (other !== undefined) return [one, other]
    }
  }
  return undefined
}

/** A subschema that leads back to itself for the same value: checking it would never end. */
function endless(members: readonly Subschema[]): Edge | undefined {
  // A component holds a circle of such edges where, without what nothing leads to, something is left.
  let left = new Set(members)
  for (;;) {
    const next = new Set(
      [...left].filter(node => node.edges.some(({ to, part }) => part === undefined && left.has(to))),
    )
    if (next.size === left.size) break
    left = next
  }
  const [first] = left
  return first?.edges.find(({ to, part }) => part === undefined && left.has(to))
}

export interface SchemaCost {
  /** JSON values of the schema with its references written out; Infinity where checking may take exponential time */
  weight: number
  /** why that is, with the path of the reference */
  reason?: string
}

/** What checking one value of a payload costs at most. */
export function schemaCost(schema: object): SchemaCost {
  const graph = new Graph(schema as Json)
  const [unknown] = graph.unknown
  if (unknown !== undefined)
    return {
      weight: Infinity,
      reason: `${unknown} cannot be followed: a $ref must be # or a path such as #/definitions/name, and $id must be at the top`,
    }
  const weights: number[] = []
  const recursions: boolean[] = []
  for (const members of components(graph)) {
    const recursive = isRecursive(members)
    const circle = recursive ? endless(members) : undefined
    if (circle !== undefined)
      return {
        weight: Infinity,
        reason: `${circle.at} leads back to itself for the same value, so a check would never end`,
      }
    const twice = recursive ? branching(members) : undefined
    if (twice !== undefined) {
      const reason = `${twice[0].at} and ${twice[1].at} both lead back to where they stand, so a check takes twice as long with every level of a payload; at most one of them may`
      return { weight: Infinity, reason }
    }
    const exits = members.flatMap(({ edges, component }) =>
      edges.filter(({ to }) => to.component !== component),
    )
    const times = (edge: Edge): number => (recursive && recursions[edge.to.component]! ? levels : 1)
    weights.push(
      members.reduce((sum, { values }) => sum + values, 0) +
        exits.reduce((sum, edge) => sum + times(edge) * weights[edge.to.component]!, 0),
    )
    recursions.push(recursive || exits.some(({ to }) => recursions[to.component]))
  }
  return { weight: weights.at(-1)! }
}

/** How many values a payload has, up to a number; texts count by their length, which some checks look at. */
export function payloadSize(payload: unknown, most: number): number {
  let size = 0
  const open = [payload]
  for (let value = open.pop(); open.length > 0 || value !== undefined; value = open.pop()) {
    size += typeof value === 'string' ? 1 + value.length / 16 : 1
    if (size > most) return size
    if (typeof value === 'object' && value !== null) for (const each of Object.values(value)) open.push(each)
  }
  return size
}
