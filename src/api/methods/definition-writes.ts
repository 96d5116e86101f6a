// Writing definitions: all or none, checked against the matcher first, and announced to the parts that work with them.
import type { Prepared } from '../../routing/registry.ts'
import { Fault } from '../../errors.ts'
import type { DefinitionChange, FileSetRow, Stamp, WriteOutcome } from '../../store/store.ts'
import type { Context } from './context.ts'

/** Throws Fault invalid_params where arguments of a command are not what they will be at every start. */
export function assertConstant(argv: readonly string[], at: string): void {
  if (argv.some(argument => argument.includes('{{') || argument.includes('\0')))
    throw new Fault(
      'invalid_params',
      `${at} must be constants: the event comes on standard input; found a template or a NUL character`,
      { data: { path: at } },
    )
}

/** Returns where the filter of a trigger is in the params, such as triggers.2.filter. */
type PathOf = (trigger_id: string) => string

/** What makes changes count, where the triggers among them are not too much for the matcher; otherwise throws Fault invalid_params. */
export async function assertFits(
  { registry }: Pick<Context, 'registry'>,
  changes: DefinitionChange[],
  pathOf: PathOf = () => 'trigger.filter',
): Promise<Prepared> {
  const prepared = await registry.prepare(changes)
  if (!('reason' in prepared)) return prepared
  throw new Fault('invalid_params', `trigger ${prepared.id} is refused: ${prepared.reason}`, {
    data: { path: pathOf(prepared.id) },
  })
}

/** Writes definitions, all or none, and makes them count. Throws Fault conflict, and invalid_params where they are too much for the matcher. */
export function writeDefinitions(
  context: Context,
  changes: DefinitionChange[],
  owned: FileSetRow[] = [],
  pathOf?: PathOf,
): Promise<(Stamp | null)[]> {
  return context.registry.changing(changes, async () => {
    const prepared = await assertFits(context, changes, pathOf)
    const outcome = await context.store.write(changes, owned)
    if (outcome.kind !== 'written') throw unwritten(outcome)
    context.registry.apply(changes, outcome.objects, prepared)
    announce(context, changes)
    return outcome.objects
  })
}

function unwritten(outcome: Exclude<WriteOutcome, { kind: 'written' }>): Fault {
  switch (outcome.kind) {
    case 'conflict': {
      const { noun, id, expected, found } = outcome
      const is = found === 0 ? 'does not exist' : `is at version ${found}`
      return new Fault(
        'conflict',
        `${noun} ${id} ${is}, the call expected ${expected === 0 ? 'that it did not exist' : `version ${expected}`}; read it again and repeat the change`,
        { data: { found } },
      )
    }
    case 'in_use':
      return new Fault(
        'conflict',
        `${outcome.noun} ${outcome.id} has ${outcome.open_runs} runs that have not ended; cancel or discard them first, or ${outcome.noun === 'queue' ? 'pause' : 'disable'} it`,
      )
  }
}

/** Reports what was written to those that work with it. */
function announce(
  { botChanged, botDeleted, queuesChanged, sourcesChanged }: Context,
  changes: readonly DefinitionChange[],
): void {
  for (const { noun, id, definition } of changes)
    if (noun === 'bot') (definition === null ? botDeleted : botChanged)(id)
  if (changes.some(change => change.noun === 'queue')) queuesChanged()
  const sources = changes.filter(change => change.noun === 'source')
  if (sources.length > 0) sourcesChanged(sources.map(({ id }) => id))
}
