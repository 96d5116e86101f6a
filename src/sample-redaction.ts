// Secrets out of an event that becomes a sample: files of samples are shared. Pure: it also runs in browsers.

const hidden = '***'

/** Names of fields whose texts are secrets. */
const secretName =
  /secret|passw(or)?d|token|authorization|cookie|credential|api[-_]?key|private[-_]?key|signature/i
/** Texts that are secrets wherever they occur, and the part of them that is kept. */
const secretTexts: readonly [RegExp, string][] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, hidden],
  [/\b(gh[pousr]_|github_pat_|glpat-|xox[abpr]-|AKIA|whsec_|sk-)[A-Za-z0-9_+/=-]{12,}/g, `$1${hidden}`],
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, hidden],
  [/\b(Bearer|Basic|token) [A-Za-z0-9._~+/=-]{8,}/gi, `$1 ${hidden}`],
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/:@]+:[^\s/@]+@/gi, `$1${hidden}@`],
  [/([?&](?:[\w-]*(?:token|secret|key|signature|password))=)[^&\s#]+/gi, `$1${hidden}`],
]

const { isRawJSON } = JSON as unknown as { isRawJSON: (value: unknown) => boolean }

/** A value without secrets, and the paths at which there were some. */
export function redactedSample(value: unknown, path = ''): { value: unknown; paths: string[] } {
  const name = path.slice(path.lastIndexOf('.') + 1)
  if (typeof value === 'string') {
    const text =
      value !== '' && secretName.test(name)
        ? hidden
        : secretTexts.reduce((rest, [pattern, kept]) => rest.replaceAll(pattern, kept), value)
    return { value: text, paths: text === value ? [] : [path] }
  }
  if (typeof value !== 'object' || value === null || isRawJSON(value)) return { value, paths: [] }
  const parts = Object.entries(value).map(
    ([key, part]) =>
      [
        key,
        redactedSample(part, Array.isArray(value) ? path : path === '' ? key : `${path}.${key}`),
      ] as const,
  )
  const paths = [...new Set(parts.flatMap(([, part]) => part.paths))]
  if (Array.isArray(value)) return { value: parts.map(([, part]) => part.value), paths }
  return { value: Object.fromEntries(parts.map(([key, part]) => [key, part.value])), paths }
}
