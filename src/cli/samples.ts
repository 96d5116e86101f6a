// signalbox events save: a stored event as a sample for cases, without what looks like a secret.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { fileError } from '../plain-file.ts'
import { plainJson } from '../terminal-text.ts'
import { isRaw } from '../exact-json.ts'
import { plain, record } from './output.ts'
import { UsageError, type Session } from './session.ts'

const hidden = '***'

/** Names of fields whose texts are secrets. */
const secretName = /secret|passw(or)?d|token|authorization|cookie|credential|api[-_]?key|private[-_]?key|signature/i
/** Texts that are secrets wherever they stand, and the part of them that is kept. */
const secretTexts: readonly [RegExp, string][] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, hidden],
  [/\b(gh[pousr]_|github_pat_|glpat-|xox[abpr]-|AKIA|whsec_|sk-)[A-Za-z0-9_+/=-]{12,}/g, `$1${hidden}`],
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, hidden],
  [/\b(Bearer|Basic|token) [A-Za-z0-9._~+/=-]{8,}/gi, `$1 ${hidden}`],
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/:@]+:[^\s/@]+@/gi, `$1${hidden}@`],
  [/([?&](?:[\w-]*(?:token|secret|key|signature|password))=)[^&\s#]+/gi, `$1${hidden}`],
]

/** A value without secrets, and the paths at which there were some. */
export function redacted(value: unknown, path = ''): { value: unknown; paths: string[] } {
  const name = path.slice(path.lastIndexOf('.') + 1)
  if (typeof value === 'string') {
    const text = value !== '' && secretName.test(name) ? hidden : secretTexts.reduce((rest, [pattern, kept]) => rest.replaceAll(pattern, kept), value)
    return { value: text, paths: text === value ? [] : [path] }
  }
  if (typeof value !== 'object' || value === null || isRaw(value)) return { value, paths: [] }
  const parts = Object.entries(value).map(([key, part]) => [key, redacted(part, Array.isArray(value) ? path : path === '' ? key : `${path}.${key}`)] as const)
  const paths = [...new Set(parts.flatMap(([, part]) => part.paths))]
  if (Array.isArray(value)) return { value: parts.map(([, part]) => part.value), paths }
  return { value: Object.fromEntries(parts.map(([key, part]) => [key, part.value])), paths }
}

export function addSave(events: Command, session: () => Session): void {
  events
    .command('save <event> [file]')
    .description('write an event (or "last") as a sample that cases can name, secrets left out; - for standard output')
    .option('--force', 'write over a file that is there')
    .action(async (given: string, path: string | undefined, { force }: { force?: true }) => {
      const current = session()
      const { id, source_id, type, subject, actor, thread, timestamp, headers, payload } = await current.call('event.get', {
        event_id: await current.eventId(given),
      })
      const { value, paths } = redacted({ source_id, type, subject, actor, thread, timestamp, headers, payload })
      const text = `${plainJson(JSON.stringify(value, null, 2))}\n`
      if (path === '-') return void process.stdout.write(text)
      const file = path ?? `samples/${source_id}-${type.replaceAll(/[^A-Za-z0-9._-]/g, '-')}-${id.slice(-8)}.json`
      try {
        mkdirSync(dirname(file), { recursive: true })
        writeFileSync(file, text, { flag: force === true ? 'w' : 'wx' })
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        throw new UsageError(code === 'EEXIST' ? `${file} is there already; --force writes over it` : fileError(error, file, 'written').message)
      }
      if (current.output.json) return record(current.output, { event_id: id, file, redacted: paths })
      current.output.line(plain(`${file}${paths.length === 0 ? '' : `, without ${paths.join(', ')}`}`))
      return undefined
    })
}
