// Where bots must not emit: into a webhook source of a forge. Its events are taken for what the forge reported, and the guards
// against loops through the forge go by who caused them there.
import type { BotInput } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import { isForgeSource } from '../forge.ts'

type Bots = ReadonlyMap<string, Pick<BotInput, 'id' | 'endpoint'>>
interface Target {
  id: string
  source_type: string
  config?: object
}
type Sources = ReadonlyMap<string, Target>

const why = 'its events count as reported by the forge; use a service source, which triggers can name as well'

/** Throws Fault invalid_params for a run that hands an event over to a forge's source. */
export function assertNotFromRun(source: Target): void {
  if (isForgeSource(source))
    throw new Fault(
      'invalid_params',
      `a run must not emit into ${source.id}, a webhook source of a forge: ${why}. Nothing was stored`,
      {
        data: { path: 'source_id' },
      },
    )
}

/** Throws Fault invalid_params for a bot that emits into a forge's source. */
export function assertEmitTarget(
  { endpoint }: Pick<BotInput, 'endpoint'>,
  sources: Sources,
  at: string,
): void {
  const target = endpoint.kind === 'emit' ? sources.get(endpoint.source_id) : undefined
  if (target === undefined || !isForgeSource(target)) return
  const path = `${at}.endpoint.source_id`
  throw new Fault('invalid_params', `${path} must not be ${target.id}, a webhook source of a forge: ${why}`, {
    data: { path },
  })
}

function emittersInto(source_id: string, bots: Bots): string[] {
  return [...bots.values()].flatMap(({ id, endpoint }) =>
    endpoint.kind === 'emit' && endpoint.source_id === source_id ? [id] : [],
  )
}

/** Throws Fault conflict for a source that becomes one of a forge while bots emit into it. One that is one already can be changed: those bots are refused anyway. */
export function assertNoEmitters(source: Target, present: Target | null, bots: Bots, at: string): void {
  if (!isForgeSource(source) || (present !== null && isForgeSource(present))) return
  const emitters = emittersInto(source.id, bots)
  if (emitters.length > 0)
    throw new Fault(
      'conflict',
      `source ${source.id} must not be a webhook source of a forge: ${emitters.length} bots emit into it (${emitters.slice(0, 5).join(', ')}). Change or delete them first, or use another id`,
      { data: { path: `${at}.config.provider` } },
    )
}

/** For router.status: bots that were written before emitting there was refused. */
export function emitTargetWarnings({ bots, sources }: { bots: Bots; sources: Sources }): string[] {
  return [...sources.values()]
    .filter(isForgeSource)
    .flatMap(({ id }) =>
      emittersInto(id, bots).map(
        bot => `bot ${bot}: its runs fail, because ${id} is a webhook source of a forge: ${why}`,
      ),
    )
}
