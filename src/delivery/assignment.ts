// Which bot a run goes to that names capabilities: score = capability match x availability x priority weight, ties to
// the least loaded, then by id. Pure.
import type { Assignment, Bot, Candidate } from '../contract/types.ts'
import type { Need } from '../store/store.ts'

export type Availability = 'ready' | 'sleeping' | 'busy' | 'degraded'

/** What an availability is worth. */
const weights: Record<Availability, number> = { ready: 1, sleeping: 0.8, busy: 0.5, degraded: 0 }
const mostKept = 20

/** A bot as it stands when it may be chosen. */
export interface Standing {
  bot: Pick<Bot, 'id' | 'capabilities' | 'owner' | 'max_active'>
  availability: Availability
  active: number
}

/** Whether a bot offers what is needed, to this owner. */
export function offers({ capabilities = [], owner }: Pick<Bot, 'capabilities' | 'owner'>, need: Need): boolean {
  return need.capabilities.every(each => capabilities.includes(each)) && (need.owner === undefined || owner === undefined || owner === need.owner)
}

/** What is needed as a share of what the bot offers: who can little else is the better match. */
function capabilityMatch({ capabilities = [] }: Pick<Bot, 'capabilities'>, need: Need): number {
  return need.capabilities.length / Math.max(1, capabilities.length)
}

function load({ active, bot }: Standing): number {
  return active / bot.max_active
}

function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6
}

/** The bots that could take a run, best first. Those without room or worth nothing are left out. */
export function ranked(need: Need, bots: readonly Standing[]): { standing: Standing; candidate: Candidate }[] {
  return bots
    .filter(({ bot, active }) => offers(bot, need) && active < bot.max_active)
    .map(standing => {
      const [capability, availability] = [capabilityMatch(standing.bot, need), weights[standing.availability]]
      const candidate = {
        bot_id: standing.bot.id,
        score: rounded(capability * availability),
        capability: rounded(capability),
        availability,
        active: standing.active,
      }
      return { standing, candidate }
    })
    .filter(({ candidate }) => candidate.score > 0)
    .toSorted((a, b) => b.candidate.score - a.candidate.score || load(a.standing) - load(b.standing) || (a.candidate.bot_id < b.candidate.bot_id ? -1 : 1))
}

/** What is kept of a choice. */
export function assignmentOf(need: Need, found: readonly { candidate: Candidate }[], chosen: string): Assignment {
  return { ...need, chosen, candidates: found.slice(0, mostKept).map(each => each.candidate), considered: found.length }
}
