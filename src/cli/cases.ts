// Cases that triggers are tested with: the *.test.yaml files beside them.
//
//   cases:
//     - name: a push to main deploys            (default: its place in the file)
//       event: samples/push.json                (a file, beside this one; or the event itself: {type, payload, ...})
//       expect:
//         deploy-site: {matched: true, inputs: {ref: refs/heads/main}}
//         nightly: false                        (short for {matched: false})
import { dirname, resolve } from 'node:path'
import { isMap, isNode, isScalar, isSeq, type Document, type Node, type Pair } from 'yaml'
import type { DraftEvent } from '../client/client.ts'
import { shown, unknownKey, type ValidationError } from '../validation-error.ts'
import { documentsOf, filesOf, position, type Origin } from './definition-files.ts'
import { UsageError } from './session.ts'

export interface Expectation {
  trigger_id: string
  matched: boolean
  /** all of them */
  inputs?: Record<string, unknown>
  /** file:line:column */
  place: string
}

export interface Case {
  name: string
  file: string
  place: string
  event: DraftEvent
  expect: Expectation[]
}

/** Why an event cannot be used, with the path in it, or undefined. */
type RefusalOf = (event: unknown) => ValidationError | undefined

/** One file's documents, with errors that name the place. */
interface Reading {
  document: Document
  fail: (node: Node | null | undefined, text: string) => never
  placeOf: (node: Node) => string
}

function fields(
  node: unknown,
  known: readonly string[],
  what: string,
  parent: Node,
  { fail }: Reading,
): Map<string, Node | null> {
  if (!isMap(node))
    return fail(
      isNode(node) ? node : parent,
      `${what} must be an object with ${known.join(', ')}; found ${shown(isNode(node) ? node.toJSON() : node)}`,
    )
  const found = new Map<string, Node | null>()
  for (const { key, value } of node.items) {
    const name = isScalar(key) ? String(key.value) : ''
    if (!known.includes(name))
      fail(isNode(key) ? key : node, `${what}: ${name} ${unknownKey(name, name, known).message}`)
    found.set(name, isNode(value) ? value : null)
  }
  return found
}

function plain(node: Node, { document }: Reading): unknown {
  return node.toJS(document, { maxAliasCount: 100 }) as unknown
}

/** The first document of a file, as a value. */
function valueOf(path: string): unknown {
  const [document] = documentsOf(path).documents
  return document?.toJS({ maxAliasCount: 100 }) as unknown
}

function eventOf(
  node: Node | null | undefined,
  parent: Node,
  file: string,
  reading: Reading,
  refusalOf: RefusalOf,
): DraftEvent {
  const { fail } = reading
  if (node == null) return fail(parent, 'event is required: a file, or the event itself')
  const given = plain(node, reading)
  let event: unknown
  if (typeof given === 'string') event = valueOf(resolve(dirname(file), given))
  else if (isMap(node) && node.has('payload_file')) {
    const { payload_file, ...rest } = given as { payload_file: unknown }
    if (typeof payload_file !== 'string' || node.has('payload'))
      return fail(
        node,
        'payload_file must be the path of a file, and must not be given together with payload',
      )
    event = { ...rest, payload: valueOf(resolve(dirname(file), payload_file)) }
  } else event = given
  const refusal = refusalOf(event)
  if (refusal !== undefined)
    fail(node, `${['event', refusal.path].filter(part => part !== '').join('.')} ${refusal.message}`)
  return event as DraftEvent
}

function expectationOf(trigger_id: string, node: Node | null, parent: Node, reading: Reading): Expectation {
  const { fail, placeOf } = reading
  const place = placeOf(node ?? parent)
  if (isScalar(node) && typeof node.value === 'boolean') return { trigger_id, matched: node.value, place }
  const given = fields(node, ['matched', 'inputs'], `what is expected of ${trigger_id}`, parent, reading)
  const inputs = given.get('inputs')
  const matched = given.get('matched') ?? undefined
  if (matched !== undefined && !(isScalar(matched) && typeof matched.value === 'boolean'))
    return fail(matched, 'matched is true or false')
  if (inputs === undefined && matched === undefined)
    return fail(node, `what is expected of ${trigger_id} has matched, inputs or both`)
  const wanted = matched === undefined ? true : ((matched as { value: unknown }).value as boolean)
  if (inputs === undefined) return { trigger_id, matched: wanted, place }
  if (!isMap(inputs) || !wanted)
    return fail(
      inputs ?? node,
      wanted ? 'inputs is an object' : 'a trigger that does not match has no inputs',
    )
  return { trigger_id, matched: true, inputs: plain(inputs, reading) as Record<string, unknown>, place }
}

function caseOf(
  node: unknown,
  index: number,
  parent: Node,
  file: string,
  reading: Reading,
  refusalOf: RefusalOf,
): Case {
  const given = fields(node, ['name', 'event', 'expect'], 'a case', parent, reading)
  const own = node as Node
  const name = given.get('name')
  const expect = given.get('expect')
  if (!isMap(expect) || expect.items.length === 0)
    return reading.fail(expect ?? own, 'expect is required: {trigger: {matched, inputs}}')
  return {
    name: isScalar(name) ? String(name.value) : `case ${index + 1}`,
    file,
    place: reading.placeOf(own),
    event: eventOf(given.get('event'), own, file, reading, refusalOf),
    expect: (expect.items as Pair<Node, Node | null>[]).map(({ key, value }) =>
      expectationOf(String(plain(key, reading)), value, key, reading),
    ),
  }
}

/** The cases of all *.test.yaml, .yml and .json files of a directory, or of one file. Throws UsageError with the place of what is wrong. */
export function readCases(path: string, refusalOf: RefusalOf): Case[] {
  return filesOf(path, 'cases').flatMap(file => {
    const { documents, lines } = documentsOf(file)
    return documents.flatMap(document => {
      const { contents } = document
      if (contents === null) return []
      const at = (node: Node): Origin => ({ file, lines, node })
      const placeOf = (node: Node): string => position(at(node))
      const fail = (node: Node | null | undefined, text: string): never => {
        throw new UsageError(`${placeOf(node ?? contents)} ${text}`)
      }
      const reading: Reading = { document, fail, placeOf }
      const cases = fields(contents, ['cases'], 'a file of cases', contents, reading).get('cases')
      if (!isSeq(cases)) return fail(cases, 'cases is a list')
      return cases.items.map((item, index) => caseOf(item, index, cases, file, reading, refusalOf))
    })
  })
}
