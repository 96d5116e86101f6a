// Definitions at a start: each was checked when it was written, so one that the contract refuses now is damaged.
import type { compileContract } from '../contract/validators.ts'
import type { ExitError } from '../errors.ts'
import { compilePattern } from '../routing/pattern.ts'
import { PatternError } from '../routing/pattern-limits.ts'
import { damagedDefinition } from '../store/sqlite/tables/definitions.ts'
import type { Refusal } from '../store/sqlite/repair/tolerant-reader.ts'
import type { Definitions, Noun, Stamp } from '../store/store.ts'

type Contract = ReturnType<typeof compileContract>

/** Why the contract refuses a definition; undefined: it does not. */
function refusal(noun: Noun, definition: { id: string }, contract: Contract): string | undefined {
  const checked = contract.get(`${noun}.put`)!.validateParams({ [noun]: definition })
  if (!checked.ok) return `${checked.path.slice(noun.length + 1)} ${checked.message}`
  if (noun !== 'trigger') return undefined
  try {
    compilePattern((definition as unknown as { filter: unknown }).filter)
    return undefined
  } catch (error) {
    if (error instanceof PatternError) return `its filter is refused: ${error.message}`
    throw error
  }
}

/** The same of one stored definition, for looking at a database. */
export function refusalOf(contract: Contract): Refusal {
  return (noun, definition) => refusal(noun, definition, contract)
}

/** The reason not to start, where a definition cannot be used; it names the row. */
export function unusableDefinition(
  { sources, triggers, bots, queues }: Definitions,
  contract: Contract,
): ExitError | undefined {
  const all = { source: sources, trigger: triggers, bot: bots, queue: queues } as const
  for (const noun of ['source', 'trigger', 'bot', 'queue'] as const) {
    for (const definition of all[noun] as (Stamp & { id: string })[]) {
      const { version: _v, created_at: _c, updated_at: _u, ...own } = definition
      const why = refusal(noun, own, contract)
      if (why !== undefined) return damagedDefinition(noun, definition.id, { column: 'definition', why })
    }
  }
  return undefined
}
