// What is shown of a source in the list and on its own screen.
import type { JSX } from 'preact'
import type { Source } from '../../contract/types.ts'
import { Ago, Copy, Lamp } from '../parts/basic.tsx'
import { href } from '../router.ts'
import { status } from '../status.ts'
import { count, oneLine, plural } from '../text.ts'
import { addressOf, secretsOf, secretText } from './address.ts'

export function SourceLamp({ source: { enabled, health } }: { source: Source }): JSX.Element {
  if (!enabled) return <Lamp kind="miss">disabled</Lamp>
  if (health !== undefined && health.failures > 0) return <Lamp kind="stop">{plural(health.failures, 'failed reading')}</Lamp>
  return <Lamp kind="clear">enabled</Lamp>
}

export function sourceFacts(source: Source): [string, JSX.Element | string | undefined][] {
  const { refused, health, last_event_at, next_at, event_count, config } = source
  const address = addressOf(source, status.value?.intake_address)
  const secrets = secretsOf(source)
  return [
    [
      'address',
      address === undefined ? undefined : (
        <>
          <code>{address}</code> <Copy text={address} what="address" />
        </>
      ),
    ],
    ['provider', config.provider as string | undefined],
    [
      'secret',
      source.source_type !== 'webhook'
        ? undefined
        : secrets.length === 0
          ? 'none: anyone who reaches the intake can deliver'
          : secrets.map(secretText).join(', '),
    ],
    ['schedule', config.expression === undefined ? undefined : <code>{config.expression as string}</code>],
    ['events', event_count === undefined ? undefined : count(event_count)],
    ['last event', last_event_at === undefined ? 'none yet' : <Ago at={last_event_at} />],
    ['next', next_at === undefined ? undefined : <Ago at={next_at} />],
    ['last reading', health?.read_at === undefined ? undefined : <Ago at={health.read_at} />],
    ['error', health?.error === undefined ? undefined : <Lamp kind="stop">{oneLine(health.error, 300)}</Lamp>],
    [
      'refused',
      refused === undefined ? undefined : (
        <a href={href('refused', { source: source.id })}>
          <Lamp kind="caution">
            {plural(refused.count, 'delivery', 'deliveries')}, {refused.last_reason}
          </Lamp>
        </a>
      ),
    ],
  ]
}
