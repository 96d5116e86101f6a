// What a claim is made with and what it answers, and how it ranks runs and bots.
import type { Assignment } from '../../../contract/types.ts'
import type { ClaimAnswer, ClaimRequest, StoredEvent } from '../../store.ts'
import type { Burial } from './burial.ts'
import type { DamageLog } from '../tables/damage.ts'
import type { History } from '../tables/history.ts'
import type { Lanes } from './lanes.ts'
import type { Moving } from './moves.ts'
import type { Queues } from './queues.ts'
import type { RunRow } from '../tables/run-rows.ts'

export interface ClaimParts {
  lanes: Lanes
  queues: Queues
  moving: Moving
  history: History
  burial: Burial
  damage: DamageLog
}

export interface Claiming {
  /** also answers by how much the count of open runs changed */
  claim(request: ClaimRequest): { answer: ClaimAnswer; openDelta: number }
  nextDueAt(toldAt?: number): number | null
}

/** The choice with the weight of the run's priority, from 0 at -100 to 1 at 100, in the scores: it is the same for all candidates. */
export function weighed({ candidates = [], ...assignment }: Assignment, priority: number): Assignment {
  const weight = (priority + 100) / 200
  const score = (each: number): number => Math.round(each * weight * 1e6) / 1e6
  return {
    ...assignment,
    priority: weight,
    candidates: candidates.map(each => ({ ...each, score: score(each.score) })),
  }
}

export function rank({ not_before, priority }: RunRow): number {
  return not_before - priority * 60_000
}

/** Whether anything of an event is damaged that its bot would be sent: what was decided about it is not. */
export function isHurt({ damaged = [] }: StoredEvent): boolean {
  return damaged.some(field => field !== 'decisions' && field !== 'duplicates')
}
