// The bots that the runs of needs may go to in one claim: those of the request, but for those whose budgets are spent or whose queues
// have no room.
import type { Choice, ClaimAnswer, ClaimRequest } from '../../store.ts'
import type { Budgets } from './budgets.ts'
import type { Queues } from './queues.ts'

/** The due runs of one bot (or need) in one queue. */
export interface Group {
  bot_id: string
  queue: string
}

export class Choices {
  readonly #now: number
  readonly #budgets: Budgets
  readonly #queues: Queues
  readonly #choices = new Map<string, Choice[]>()
  /** when the budgets of bots have room, as far as it was asked since a run began */
  readonly #opensAt = new Map<string, number>()
  readonly #spent = new Map<string, number>()

  constructor({ bots, now }: ClaimRequest, budgets: Budgets, queues: Queues) {
    this.#now = now
    this.#budgets = budgets
    this.#queues = queues
    for (const { bot_id, choices } of bots) if (choices !== undefined) this.#choices.set(bot_id, [...choices])
  }

  /** undefined: a bot is named. */
  of({ bot_id }: Group): readonly Choice[] | undefined {
    return this.#choices.get(bot_id)
  }

  #budgetOpensAt(bot_id: string): number {
    if (!this.#budgets.defined.any) return 0
    const opens_at = this.#opensAt.get(bot_id) ?? this.#budgets.botOpensAt(bot_id, this.#now)
    this.#opensAt.set(bot_id, opens_at)
    if (opens_at > this.#now) this.#spent.set(bot_id, opens_at)
    return opens_at
  }

  /** The bots of a need that may begin a run of a group, best first; where a queue is named, its room is the caller's. */
  open(group: Group): Choice[] | undefined {
    const isOpen = ({ bot_id }: Choice): boolean =>
      this.#budgetOpensAt(bot_id) <= this.#now &&
      (group.queue !== '' || this.#queues.room(bot_id, this.#now).room > 0)
    return this.#choices.get(group.bot_id)?.filter(isOpen)
  }

  best(group: Group): Choice | undefined {
    return this.open(group)?.[0]
  }

  /** Takes the bot that the next run of a group goes to. */
  take(group: Group): Choice | undefined {
    const choice = this.best(group)
    const choices = this.#choices.get(group.bot_id)
    if (choice !== undefined) choices!.splice(choices!.indexOf(choice), 1)
    return choice
  }

  /** A run began: budgets may have less room. */
  began(): void {
    this.#opensAt.clear()
  }

  /** Lets a group's need try again when a budget has room; answers whether any is spent. */
  blockSpent(group: Group): boolean {
    const spent = (this.of(group) ?? []).filter(({ bot_id }) => this.#budgetOpensAt(bot_id) > this.#now)
    for (const { bot_id } of spent) this.#queues.block(bot_id, group.bot_id, this.#budgetOpensAt(bot_id))
    return spent.length > 0
  }

  spent(): ClaimAnswer['spent'] {
    return [...this.#spent].map(([bot_id, until]) => ({ bot_id, until }))
  }
}
