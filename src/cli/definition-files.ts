// Definitions in YAML or JSON files, with where everything stands: an error of the router names a path in what it was
// sent, and this tells the file, the line and the column of it.
import { readdirSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  visit,
  type Document,
  type Node,
} from 'yaml'
import type { BotInput, QueueInput, SourceInput, TriggerInput } from '../client/client.ts'
import { exactNumber, isNumber } from '../exact-json.ts'
import { withDurations } from '../durations.ts'
import { fileError } from '../plain-file.ts'
import { shown, unknownKey } from '../validation-error.ts'
import { namedFile, standardInput, UsageError } from './session.ts'

export interface Definitions {
  bots: BotInput[]
  queues: QueueInput[]
  sources: SourceInput[]
  triggers: TriggerInput[]
}

type Kind = keyof Definitions
const kinds: readonly Kind[] = ['bots', 'queues', 'sources', 'triggers']
const maxFileBytes = 4 * 1_048_576

export interface Origin {
  file: string
  lines: LineCounter
  node: Node
}

export interface DefinitionFiles {
  definitions: Definitions
  /** what the files are known by; undefined of standard input */
  name: string | undefined
  files: string[]
  /** "file:line:column" of a path such as triggers.3.filter.type; undefined: it stands nowhere */
  where: (path: string) => string | undefined
}

export function position({ file, lines, node }: Origin): string {
  const { line, col } = lines.linePos(node.range?.[0] ?? 0)
  return `${file}:${line}:${col}`
}

/** The node that a path leads to, or the last on the way that there is. Keys may hold dots. */
export function deepest(node: Node, steps: readonly string[]): Node {
  if (steps.length === 0) return node
  if (isSeq(node)) {
    const item = node.items[Number(steps[0])]
    return isNode(item) ? deepest(item, steps.slice(1)) : node
  }
  if (!isMap(node)) return node
  for (let taken = 1; taken <= steps.length; taken++) {
    const name = steps.slice(0, taken).join('.')
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === name)
    if (pair === undefined) continue
    if (isNode(pair.value)) return deepest(pair.value, steps.slice(taken))
    return isNode(pair.key) ? pair.key : node
  }
  return node
}

const caseFile = /\.test\.(ya?ml|json)$/

/** The files of a directory and what is below it, in order, or the one that is named. Passed over are hidden ones, node_modules, and events in folders named samples. */
export function filesOf(path: string, of: 'definitions' | 'cases'): string[] {
  if (path === '-') return ['-']
  if (!asked(path, () => statSync(path)).isDirectory())
    return caseFile.test(path) === (of === 'cases') ? [path] : []
  return asked(path, () => readdirSync(path, { recursive: true, encoding: 'utf8' }))
    .filter(
      name =>
        /\.(ya?ml|json)$/.test(name) &&
        !/(^|\/)(\.|node_modules\/|samples\/)/.test(name) &&
        caseFile.test(name) === (of === 'cases'),
    )
    .toSorted()
    .map(name => join(path, name))
    .filter(file => !asked(file, () => statSync(file)).isDirectory())
}

/** An answer of the file system. Throws UsageError that names the path. */
function asked<T>(path: string, ask: () => T): T {
  try {
    return ask()
  } catch (error) {
    throw new UsageError(fileError(error, path).message)
  }
}

/** A number of YAML as one of JSON: without a plus, needless zeros and bare points, in tens. What JSON has not, such as .inf, stays. */
function jsonNumber(source: string): string {
  const unsigned = source.replace(/^\+/, '')
  if (/^0[xo]/.test(unsigned)) return String(BigInt(unsigned))
  return unsigned
    .replace(/^(-?)\./, '$10.')
    .replace(/\.(?=$|[eE])/, '')
    .replace(/^(-?)0+(?=\d)/, '$1')
}

/** Numbers keep their digits: as values they are exact ones, as keys the text that stands there. */
function keepDigits(document: Document): void {
  visit(document, {
    Scalar(key, node) {
      const { value, source } = node
      if (typeof value !== 'number' || source === undefined) return
      const text = jsonNumber(source)
      if (isNumber(text)) node.value = key === 'key' ? text : exactNumber(text)
    },
  })
}

/** The documents of a file, whose numbers keep their digits. Throws UsageError with the place of what is no YAML. */
export function documentsOf(file: string): { documents: Document[]; lines: LineCounter } {
  const text = file === '-' ? standardInput() : namedFile(file, maxFileBytes).toString('utf8')
  if (text.length > maxFileBytes)
    throw new UsageError(`${file} has ${text.length} characters; at most ${maxFileBytes} are read`)
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
  }) as Document[]
  for (const document of documents) {
    const [error] = document.errors
    if (error === undefined) {
      keepDigits(document)
      continue
    }
    const { line, col } = lines.linePos(error.pos[0])
    throw new UsageError(`${file}:${line}:${col} is no YAML: ${error.message}`)
  }
  return { documents, lines }
}

/** Reads every definition of files and directories. Throws UsageError with file, line and column. */
export function readDefinitions(paths: readonly string[]): DefinitionFiles {
  const files = paths.flatMap(path => filesOf(path, 'definitions'))
  const definitions: Definitions = { bots: [], queues: [], sources: [], triggers: [] }
  const origins: Record<Kind, Origin[]> = { bots: [], queues: [], sources: [], triggers: [] }
  for (const file of files) {
    const { documents, lines } = documentsOf(file)
    for (const document of documents) {
      const { contents } = document
      if (contents === null || (isScalar(contents) && contents.value === null)) continue
      const fail = (node: Node, text: string): never => {
        throw new UsageError(`${position({ file, lines, node })} ${text}`)
      }
      if (!isMap(contents))
        return fail(
          contents,
          `a definitions file must be an object with the lists ${kinds.join(', ')}; found ${shown(contents.toJSON())}`,
        )
      for (const { key, value } of contents.items) {
        const name = isScalar(key) ? String(key.value) : ''
        const kind = kinds.find(each => each === name)
        if (kind === undefined)
          return fail(isNode(key) ? key : contents, `${name} ${unknownKey(name, name, kinds).message}`)
        if (isScalar(value) && value.value === null) continue
        if (!isSeq(value))
          return fail(
            isNode(value) ? value : contents,
            `${kind} must be a list; found ${shown(isNode(value) ? value.toJSON() : value)}`,
          )
        for (const item of value.items) {
          if (!isMap(item))
            return fail(
              isNode(item) ? item : value,
              `each of ${kind} must be an object; found ${shown(isNode(item) ? item.toJSON() : item)}`,
            )
          definitions[kind].push(withDurations(item.toJS(document, { maxAliasCount: 100 })) as never)
          origins[kind].push({ file, lines, node: item })
        }
      }
    }
  }
  const where = (place: string): string | undefined => {
    const [kind = '', index = '', ...steps] = place.split('.')
    const origin = origins[kind as Kind]?.[Number(index)]
    return origin === undefined ? undefined : position({ ...origin, node: deepest(origin.node, steps) })
  }
  return {
    definitions,
    name: paths.includes('-')
      ? undefined
      : paths
          .map(path => asked(path, () => realpathSync(path)))
          .toSorted()
          .join(' '),
    files,
    where,
  }
}
