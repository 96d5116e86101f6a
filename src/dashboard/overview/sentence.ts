// How things stand, in a sentence whose parts lead to where more is said. Pure: no DOM.
import type { LampKind } from '../parts/lamp-kind.ts'
import { plural } from '../text.ts'

export interface Standing {
  paused: string | undefined
  isFull: boolean
  running: number
  approvals: number
  /** dead letters by trigger, most first */
  dead: { trigger_id: string; count: number }[]
  /** bots whose circuit breaker is open */
  broken: string[]
  refused: number
  events: number
}

export interface Part {
  text: string
  kind?: LampKind
  /** segments of the address that the words lead to */
  to?: string[]
}

function joined(parts: readonly Part[]): Part[] {
  return parts.flatMap((part, index) => {
    const before = index === 0 ? '' : index === parts.length - 1 ? ' and ' : ', '
    return before === '' ? [part] : [{ text: before }, part]
  })
}

/** What needs a person, most urgent first. */
function concerns({ approvals, dead, broken, refused }: Standing): Part[] {
  const found: Part[] = []
  if (approvals > 0)
    found.push({
      text: plural(approvals, 'run waits for approval', 'runs wait for approval'),
      kind: 'held',
      to: ['approvals'],
    })
  for (const bot of broken.slice(0, 2))
    found.push({ text: `the circuit breaker of bot ${bot} is open`, kind: 'stop', to: ['bots', bot] })
  const total = dead.reduce((sum, { count }) => sum + count, 0)
  if (total > 0)
    found.push({
      text:
        dead.length === 1
          ? `${plural(total, 'run')} of ${dead[0]!.trigger_id} failed for good`
          : `${plural(total, 'run')} failed for good`,
      kind: 'stop',
      to: ['dead-letters'],
    })
  if (refused > 0)
    found.push({
      text: `${plural(refused, 'delivery was', 'deliveries were')} refused`,
      kind: 'caution',
      to: ['refused'],
    })
  return found
}

export function sentenceOf(standing: Standing): Part[] {
  const { paused, isFull, running, events } = standing
  const begin: Part = isFull
    ? { text: 'The disk is full and no event is taken in.', kind: 'stop', to: ['settings'] }
    : paused !== undefined
      ? { text: `Dispatching is paused: ${paused}.`, kind: 'held', to: ['settings'] }
      : running > 0
        ? { text: `${plural(running, 'run is', 'runs are')} running.`, kind: 'active', to: ['runs'] }
        : { text: events > 0 ? 'All is quiet.' : 'Ready, and waiting for the first event.' }
  const found = concerns(standing)
  if (found.length === 0) return [begin]
  const [first, ...rest] = joined(found) as [Part, ...Part[]]
  return [
    begin,
    { text: ' ' },
    { ...first, text: first.text[0]!.toUpperCase() + first.text.slice(1) },
    ...rest,
    { text: '.' },
  ]
}
