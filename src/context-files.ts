// Files that go with an event: which names and sizes are taken. A name is used as the name of a file, on any system, and
// as nothing else: no path, no option, nothing hidden, no two that one file system takes for one (RELIABILITY T42). Pure.
import { hash } from 'node:crypto'

export interface ContextFileGiven {
  name: string
  content: string
  encoding?: 'utf8' | 'base64'
}

/** A file as it is kept and handed on. */
export interface ContextFileBytes {
  /** of a stored file: its row is damaged */
  damaged?: true
  name: string
  is_text: boolean
  sha256: Uint8Array
  content: Uint8Array
}

/** What is wrong with which of some files; field is name, content or undefined where it is all of them. */
export interface ContextRefusal {
  index: number | undefined
  field: 'name' | 'content' | undefined
  reason: string
}

export const maxContextFiles = 32
export const maxContextFileBytes = 1_048_576
export const maxContextBytes = 4 * 1_048_576

const maxNameLength = 128
/** An ending that a shortened name keeps. */
const maxEndingLength = 16

const plainName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
/** Windows takes these for devices, whatever follows a dot. */
const deviceName = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i

/** Why a name is not taken; undefined: it is. */
export function nameRefusal(name: string): string | undefined {
  const shown = JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}...` : name)
  if (!plainName.test(name))
    return `must be a plain file name: letters, digits, ".", "_" and "-", beginning with a letter or a digit, at most 128 characters; found ${shown}`
  if (name.endsWith('.')) return `must not end with a dot; found ${shown}`
  return deviceName.test(name) ? `must not be the name of a device on Windows; found ${shown}` : undefined
}

/** The bytes of a content; a string says what is wrong with it. */
function bytesOf({ content, encoding = 'utf8' }: ContextFileGiven): Buffer | string {
  if (encoding === 'base64') {
    // Decoders are lenient, and a regular expression takes 350 ms to say no to a mebibyte: what it was made from is compared.
    const bytes = Buffer.from(content, 'base64')
    return bytes.toString('base64') === content ? bytes : 'is not base64 with its padding'
  }
  return content.isWellFormed()
    ? Buffer.from(content)
    : 'is no text in UTF-8; send other bytes with encoding base64'
}

/** Files as they are kept, or what is wrong with the first that is not taken: then none is. */
export function contextFiles(
  given: readonly ContextFileGiven[],
): { files: ContextFileBytes[] } | { refusal: ContextRefusal } {
  const refuse = (
    reason: string,
    index?: number,
    field?: 'name' | 'content',
  ): { refusal: ContextRefusal } => ({ refusal: { index, field, reason } })
  if (given.length > maxContextFiles)
    return refuse(`must hold at most ${maxContextFiles} files; found ${given.length}`)
  const names = new Map<string, number>()
  const files: ContextFileBytes[] = []
  let all = 0
  for (const [index, file] of given.entries()) {
    const reason = nameRefusal(file.name)
    if (reason !== undefined) return refuse(reason, index, 'name')
    const before = names.get(file.name.toLowerCase())
    if (before !== undefined)
      return refuse(
        `must be unique, also without regard to case; found ${JSON.stringify(file.name)}, like file ${before}`,
        index,
        'name',
      )
    names.set(file.name.toLowerCase(), index)
    const content = bytesOf(file)
    if (typeof content === 'string') return refuse(content, index, 'content')
    all += content.length
    if (content.length > maxContextFileBytes)
      return refuse(
        `must have at most ${maxContextFileBytes} bytes; found ${content.length}`,
        index,
        'content',
      )
    if (all > maxContextBytes) return refuse(`must hold at most ${maxContextBytes} bytes in all; found more`)
    files.push({
      name: file.name,
      is_text: file.encoding !== 'base64',
      sha256: hash('sha256', content, 'buffer'),
      content,
    })
  }
  return { files }
}

/**
 * The names of an event's files where the files of several events go together: each with the number of its event in
 * front. A name that becomes too long is cut, with a part of its hash in place of the end, and keeps its ending. All stay
 * plain and different in any file system, and the same names give the same ones, however often they are asked for.
 */
export function numberedNames(number: number, names: readonly string[]): string[] {
  const prefix = `${number}-`
  const fits = (name: string): boolean => prefix.length + name.length <= maxNameLength
  const taken = new Set(names.filter(fits).map(name => name.toLowerCase()))
  return names.map(name => prefix + (fits(name) ? name : cutName(name, maxNameLength - prefix.length, taken)))
}

/** A name of at most so many characters that is not taken yet, and is from now on. */
function cutName(name: string, most: number, taken: Set<string>): string {
  const ending = /\.[A-Za-z0-9]+$/.exec(name.slice(-maxEndingLength))?.[0] ?? ''
  // An event brings a name of the same form only by intent; then the next hash is taken.
  for (let round = 0; ; round++) {
    const tail = `-${hash('sha256', `${round} ${name}`, 'hex').slice(0, 12)}${ending}`
    const cut = name.slice(0, most - tail.length) + tail
    if (taken.has(cut.toLowerCase())) continue
    taken.add(cut.toLowerCase())
    return cut
  }
}

/** Why files that go with an event are too many or too large together; undefined: they are not. */
export function contextTotalRefusal(files: readonly ContextFileBytes[]): string | undefined {
  if (files.length > maxContextFiles) return `holds ${files.length} files; the limit is ${maxContextFiles}`
  const bytes = files.reduce((sum, { content }) => sum + content.byteLength, 0)
  return bytes > maxContextBytes ? `holds ${bytes} bytes in all; the limit is ${maxContextBytes}` : undefined
}

/** A file as it is sent along: what came as text goes as text. */
export function sentAlong({ name, is_text, content }: ContextFileBytes): {
  name: string
  content: string
  encoding: 'utf8' | 'base64'
} {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  return is_text
    ? { name, content: bytes.toString('utf8'), encoding: 'utf8' }
    : { name, content: bytes.toString('base64'), encoding: 'base64' }
}
