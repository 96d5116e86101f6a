// What a trigger says that can never have an effect: keys of a filter that no event has, and templates of values that do not
// exist. It stays storable, because stored triggers must load; the answer to a write and doctor warn of it. Pure.
import { didYouMean } from '../nearest-id.ts'
import { plainPaths } from './inputs.ts'
import { attributeNames } from './match-event.ts'

const known: readonly string[] = [...attributeNames, 'payload']
/** What a template may begin with: events is the list of a batch. */
const roots = [...known, 'events']

interface Dubious {
  filter: unknown
  action?: { inputs?: unknown }
  policy?: object
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A key beside payload: a misspelt attribute, or a member of the payload. */
function meantBy(key: string): string {
  const nearest = didYouMean(key, known)
  return nearest ?? `if it is a member of the payload, write {"payload": {${JSON.stringify(key)}: …}}`
}

function filterWarnings(filter: unknown, path: string): string[] {
  if (!isObject(filter)) return []
  return Object.entries(filter).flatMap(([key, value]) => {
    if (key === '$or')
      return Array.isArray(value)
        ? value.flatMap((each, index) => filterWarnings(each, `${path}.$or.${index}`))
        : []
    // A dotted key is a path.
    const [root, second] = key.split('.')
    if (!known.includes(root!)) return [`${path}.${key} is no attribute of an event; ${meantBy(key)}`]
    const names =
      root !== 'headers' ? [] : second === undefined ? Object.keys(isObject(value) ? value : {}) : [second]
    return names
      .filter(name => name !== '$or' && name !== name.toLowerCase())
      .map(
        name =>
          `${path}.headers.${name} matches no event: names of headers are stored in lower case; write ${name.toLowerCase()}`,
      )
  })
}

/** Texts of a template with their paths. */
function texts(template: unknown, path: string): [string, string][] {
  if (typeof template === 'string') return [[path, template]]
  if (Array.isArray(template)) return template.flatMap((each, index) => texts(each, `${path}[${index}]`))
  return isObject(template)
    ? Object.entries(template).flatMap(([key, each]) => texts(each, `${path}.${key}`))
    : []
}

function rootWarning(path: string, source: string): string | undefined {
  const [root, ...rest] = source.split('.')
  if (root === 'headers' && rest[0] !== undefined && rest[0] !== rest[0].toLowerCase())
    return `${path}: {{ ${source} }} is always empty: names of headers are stored in lower case; write {{ headers.${rest[0].toLowerCase()} }}`
  if (roots.includes(root!)) return undefined
  const shorter =
    root === 'event' && rest.length > 0 ? `write {{ ${rest.join('.')} }}` : didYouMean(root, roots)
  return `${path}: {{ ${source} }} is always empty: it must begin with ${roots.join(', ')}; ${shorter ?? `a member of the payload is {{ payload.${source} }}`}`
}

function templateWarnings(template: unknown, path: string): string[] {
  return [
    ...plainPaths(template, path).flatMap(found => rootWarning(found.path, found.source) ?? []),
    ...texts(template, path).flatMap(([at, text]) => {
      const shell = /\$\{\s*([A-Za-z_][\w.-]*)\s*\}/.exec(text)
      return shell === null
        ? []
        : [`${at}: ${shell[0]} is sent as it is written; a value of the event is {{ ${shell[1]} }}`]
    }),
  ]
}

/** The templates of a policy's keys. */
function keysOf(policy: object): [string, unknown][] {
  return Object.entries(policy).flatMap(([name, value]): [string, unknown][] => {
    if (name === 'order_key') return [['policy.order_key', value]]
    return isObject(value) && typeof value.key === 'string' ? [[`policy.${name}.key`, value.key]] : []
  })
}

/** A sentence for each, without the name of the trigger. */
export function dubious({ filter, action, policy = {} }: Dubious): string[] {
  return [
    ...filterWarnings(filter, 'filter'),
    ...templateWarnings(action?.inputs ?? {}, 'action.inputs'),
    ...keysOf(policy).flatMap(([path, template]) => templateWarnings(template, path)),
  ]
}
