// Which bot a run goes to that names capabilities: score = capability match x availability x priority weight, ties to
// the least loaded, then by id. Pure.
import type { Assignment, Bot, Candidate } from '../contract/types.ts'
import type { Need } from '../store/store.ts'

export type Availability = 'ready' | 'sleeping' | 'busy' | 'degraded'

/** What an availability is worth. */
const weights: Record<Availability, number> = { ready: 1, sleeping: 0.8, busy: 0.5, degraded: 0 }
const mostKept = 20

/** A bot as it stands when it may be chosen; room: runs that it may be given now. */
export interface Standing<B = Pick<Bot, 'id' | 'capabilities' | 'owner' | 'max_active'>> {
  bot: B
  availability: Availability
  active: number
  room: number
}

export interface Ranked<S> {
  standing: S
  candidate: Candidate
}

type Known = Pick<Bot, 'id' | 'capabilities' | 'owner' | 'max_active'>

/** Whether a bot offers what is needed, to this owner. */
export function offers(
  { capabilities = [], owner }: Pick<Bot, 'capabilities' | 'owner'>,
  need: Need,
): boolean {
  return (
    need.capabilities.every(each => capabilities.includes(each)) &&
    (need.owner === undefined || owner === undefined || owner === need.owner)
  )
}

/** What is needed as a share of what the bot offers: who can little else is the better match. */
function capabilityMatch({ capabilities = [] }: Pick<Bot, 'capabilities'>, need: Need): number {
  return need.capabilities.length / Math.max(1, capabilities.length)
}

function load({ active, bot }: Standing<Known>): number {
  return active / bot.max_active
}

function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6
}

function candidateOf<S extends Standing<Known>>(need: Need, standing: S): Ranked<S> {
  const [capability, availability] = [capabilityMatch(standing.bot, need), weights[standing.availability]]
  const { bot, active } = standing
  return {
    standing,
    candidate: {
      bot_id: bot.id,
      score: rounded(capability * availability),
      capability: rounded(capability),
      availability,
      active,
    },
  }
}

function better<S extends Standing<Known>>(a: Ranked<S>, b: Ranked<S>): number {
  return (
    b.candidate.score - a.candidate.score ||
    load(a.standing) - load(b.standing) ||
    (a.candidate.bot_id < b.candidate.bot_id ? -1 : 1)
  )
}

/** The bots that could take a run, best first. Those without room or worth nothing are left out. */
export function ranked<S extends Standing<Known>>(need: Need, bots: readonly S[]): Ranked<S>[] {
  return bots
    .filter(({ bot, room }) => room > 0 && offers(bot, need))
    .map(standing => candidateOf(need, standing))
    .filter(({ candidate }) => candidate.score > 0)
    .toSorted(better)
}

/** The ranking once the best has been given one run: it moves to its new place, so that 1,000 bots are sorted once and not for every run. */
export function afterChoice<S extends Standing<Known>>(need: Need, found: readonly Ranked<S>[]): Ranked<S>[] {
  const [first, ...rest] = found
  if (first === undefined) return []
  const { standing } = first
  const moved = candidateOf(need, {
    ...standing,
    active: standing.active + 1,
    room: standing.room - 1,
    availability: standing.availability === 'ready' ? 'busy' : standing.availability,
  })
  if (moved.standing.room <= 0) return rest
  const place = rest.findIndex(each => better(moved, each) < 0)
  rest.splice(place < 0 ? rest.length : place, 0, moved)
  return rest
}

/** What is kept of a choice. */
export function assignmentOf(
  need: Need,
  found: readonly { candidate: Candidate }[],
  chosen: string,
): Assignment {
  return {
    ...need,
    chosen,
    candidates: found.slice(0, mostKept).map(each => each.candidate),
    considered: found.length,
  }
}
