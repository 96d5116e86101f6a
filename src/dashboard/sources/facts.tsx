// What is shown of a source in the list and on its own screen.
import type { JSX } from 'preact'
import type { Source } from '../../contract/types.ts'
import { now } from '../load.ts'
import { Ago, Copy, Lamp } from '../parts/basic.tsx'
import { href } from '../router.ts'
import { status } from '../status.ts'
import { count, duration, oneLine, plural } from '../text.ts'
import { addressOf, secretsOf, secretText } from './address.ts'
import { isSecretMissing, lampOfSource, silentFor } from './health.ts'

export function SourceLamp({ source }: { source: Source }): JSX.Element {
  const { kind, word } = lampOfSource(source, now.value, status.value?.started_at)
  return <Lamp kind={kind}>{word}</Lamp>
}

/** Where the secret is read from, and whether that is known to fail. */
function Secret({ source }: { source: Source }): JSX.Element {
  const secrets = secretsOf(source)
  if (secrets.length === 0) return <Lamp kind="caution">none: anyone who reaches the intake can deliver</Lamp>
  return (
    <>
      {secrets.map(secretText).join(', ')}{' '}
      {isSecretMissing(source) ? <Lamp kind="stop">cannot be read</Lamp> : null}
    </>
  )
}

function Silence({ source }: { source: Source }): JSX.Element | null {
  const { silent_after_ms } = source
  if (silent_after_ms === undefined) return null
  const quiet = silentFor(source, now.value, status.value?.started_at)
  const limit = `reported after ${duration(silent_after_ms)} without an event`
  return quiet === undefined ? (
    <>{limit}</>
  ) : (
    <Lamp kind="caution">{`no event for ${duration(quiet)}; ${limit}`}</Lamp>
  )
}

export function sourceFacts(source: Source): [string, JSX.Element | string | undefined][] {
  const { refused, health, last_event_at, next_at, event_count, config, silent_after_ms } = source
  const address = addressOf(source, status.value?.intake_address)
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
    ['secret', source.source_type === 'webhook' ? <Secret source={source} /> : undefined],
    ['schedule', config.expression === undefined ? undefined : <code>{config.expression as string}</code>],
    ['events', event_count === undefined ? undefined : count(event_count)],
    ['last event', last_event_at === undefined ? 'none yet' : <Ago at={last_event_at} />],
    ['silence', silent_after_ms === undefined ? undefined : <Silence source={source} />],
    ['next', next_at === undefined ? undefined : <Ago at={next_at} />],
    ['last reading', health?.read_at === undefined ? undefined : <Ago at={health.read_at} />],
    [
      'error',
      health?.error === undefined ? undefined : <Lamp kind="stop">{oneLine(health.error, 300)}</Lamp>,
    ],
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
