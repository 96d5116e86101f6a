// What needs a person, one line each. Pure: no DOM.
import type { RouterStatusResult, Run } from '../../contract/types.ts'
import type { LampKind } from '../parts/lamp-kind.ts'
import { plural } from '../text.ts'
import type { Standing } from './sentence.ts'

export interface Concern {
  kind: LampKind
  word: string
  text: string
  to: string[]
  at?: number
}

const mostEach = 5

/** Approvals, failures, open breakers, refusals and warnings, most urgent first. runs: newest first */
export function concernsOf(
  standing: Standing,
  { warnings, bots }: Pick<RouterStatusResult, 'warnings' | 'bots'>,
  runs: readonly Run[],
): Concern[] {
  const waiting = runs.filter(({ state }) => state === 'awaiting_approval')
  const approvals = waiting.slice(0, mostEach).map(({ id, trigger_id, created_at }): Concern => ({
    kind: 'held',
    word: 'approval',
    text: trigger_id,
    to: ['approvals', id],
    at: created_at,
  }))
  const more = standing.approvals - approvals.length
  if (more > 0)
    approvals.push({
      kind: 'held',
      word: 'approval',
      text: plural(more, 'run waits', 'runs wait'),
      to: ['approvals'],
    })
  const failing = standing.dead.slice(0, mostEach).map(({ trigger_id, count }): Concern => {
    const last = runs.find(run => run.dead && run.trigger_id === trigger_id)
    const error = last?.error === undefined ? '' : `: ${last.error}`
    return {
      kind: 'stop',
      word: 'failing',
      text: `${trigger_id}, ${count}×${error}`,
      to: ['dead-letters'],
      ...(last === undefined ? {} : { at: last.updated_at }),
    }
  })
  const broken = bots
    .filter(({ health }) => health?.state === 'open')
    .map(({ id, health }): Concern => ({
      kind: 'stop',
      word: 'breaker',
      text: `bot ${id}, ${health!.consecutive_failures} failures in a row`,
      to: ['bots', id],
    }))
  const refused: Concern[] =
    standing.refused === 0
      ? []
      : [
          {
            kind: 'caution',
            word: 'refused',
            text: plural(standing.refused, 'delivery', 'deliveries'),
            to: ['refused'],
          },
        ]
  const warned = warnings
    .slice(0, mostEach)
    .map((text): Concern => ({ kind: 'caution', word: 'warning', text, to: ['settings'] }))
  return [...broken, ...failing, ...approvals, ...refused, ...warned]
}
