// What differs between the preview that a person looked at and the one of now. Pure: no DOM.
import type { RunPreview } from '../../contract/types.ts'
import { kindOf } from '../json.ts'
import { oneLine } from '../text.ts'

type Looked = Pick<
  RunPreview,
  | 'run'
  | 'version'
  | 'event'
  | 'inputs'
  | 'allowed_tools'
  | 'denied_tools'
  | 'allowed_denied_tools'
  | 'context_files'
  | 'problem'
>

/** What is shown, by name. An approval is about all of it. */
const parts: readonly (readonly [name: string, of: (preview: Looked) => unknown])[] = [
  ['trigger version', ({ run }) => run.trigger_version],
  ['event', ({ event }) => event.id],
  ['number of events', ({ run }) => run.events],
  ['bot', ({ run }) => run.bot_id],
  ['workflow', ({ run }) => run.workflow_id],
  ['inputs', ({ inputs }) => inputs],
  ['allowed tools', ({ allowed_tools }) => allowed_tools],
  ['removed tools', ({ run }) => run.cut_tools],
  ['denied tools', ({ denied_tools }) => denied_tools],
  ['exceptions to the denied tools', ({ allowed_denied_tools }) => allowed_denied_tools],
  ['files', ({ context_files }) => context_files],
  ['problem', ({ problem }) => problem],
  ['state', ({ run }) => run.state],
]

const mostNames = 5

const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)

/** The fields of two objects that differ, as " (commit, repo)"; '' for values that are not both objects. */
function fieldsText(before: unknown, after: unknown): string {
  if (kindOf(before) !== 'object' || kindOf(after) !== 'object') return ''
  const [old, recent] = [before as Record<string, unknown>, after as Record<string, unknown>]
  const names = [...new Set([...Object.keys(old), ...Object.keys(recent)])].filter(
    name => !isSame(old[name], recent[name]),
  )
  const more = names.length > mostNames ? ` and ${names.length - mostNames} more` : ''
  return names.length === 0
    ? ''
    : ` (${names
        .slice(0, mostNames)
        .map(name => oneLine(name, 40))
        .join(', ')}${more})`
}

/** How one part differs: names for objects and lists, both values for what is short. */
function partText(name: string, before: unknown, after: unknown): string {
  const isShort = (value: unknown): value is string | number =>
    typeof value === 'number' || (typeof value === 'string' && value.length <= 40)
  if (isShort(before) && isShort(after))
    return `${name}: ${oneLine(String(before))} → ${oneLine(String(after))}`.replaceAll('_', ' ')
  return name + fieldsText(before, after)
}

/** What changed, in words; undefined: nothing that the decision is about. */
export function changesText(before: Looked, after: Looked): string | undefined {
  const changed = parts
    .filter(([, of]) => !isSame(of(before), of(after)))
    .map(([name, of]) => partText(name, of(before), of(after)))
  if (changed.length > 0) return changed.join('; ')
  return before.version === after.version
    ? undefined
    : `version: ${before.version} → ${after.version}; nothing that is shown here`
}
