// The body of an event as it was received, its headers, and what it caused.
import type { JSX } from 'preact'
import type { Event } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Ago, Copy, Facts, Problem, RunLamp, TableHead, Untrusted } from '../parts/basic.tsx'
import { href } from '../router.ts'
import { can } from '../session.ts'
import { bytes, shortId, visible } from '../text.ts'

/** Characters of a body that are shown. */
const mostShown = 200_000

function textOf(base64: string): string {
  return new TextDecoder().decode(Uint8Array.from(atob(base64), character => character.charCodeAt(0)))
}

export function Raw({ event }: { event: Event }): JSX.Element {
  const read = useCall('event.get', can('payload') ? { event_id: event.id, raw: true } : undefined)
  const { value, error } = read.value
  if (!can('payload'))
    return <p class="muted">Your login does not have the scope payload, so bodies are left out.</p>
  if (error !== undefined) return <Problem error={error} again={read.again} />
  if (value?.body_base64 === undefined) return <p class="muted">reading …</p>
  const text = textOf(value.body_base64)
  return (
    <>
      <Facts
        of={[
          ['size', bytes(value.body_bytes)],
          ['SHA-256', <code>{value.body_sha256}</code>],
        ]}
      />
      <pre class="surface text-block">{visible(text.slice(0, mostShown))}</pre>
      {text.length > mostShown ? (
        <p class="muted small">
          {text.length - mostShown} characters more; the command line writes all of it
        </p>
      ) : null}
      <Copy text={text} what="body" />
    </>
  )
}

export function HeaderTable({ event: { headers } }: { event: Event }): JSX.Element {
  if (headers === null) return <p class="muted">The stored headers are damaged.</p>
  const names = Object.keys(headers).toSorted()
  if (names.length === 0) return <p class="muted">It came without headers.</p>
  return (
    <table>
      <TableHead titles={['Header', 'Value']} />
      <tbody>
        {names.map(name => (
          <tr key={name}>
            <td>
              <code>{visible(name)}</code>
            </td>
            <td class="text-block">{visible(headers[name]!)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** What caused an event, and what it caused. */
export function Causes({ event }: { event: Event }): JSX.Element {
  const runs = useCall('run.list', { event_id: event.id, limit: 100 }, { on: ({ kind }) => kind === 'run' })
  const { causation, redelivery_of, requested_by, delivery_id, duplicates } = event
  return (
    <>
      <Facts
        of={[
          [
            'caused by',
            causation == null ? (requested_by ?? 'a delivery') : <CausedBy causation={causation} />,
          ],
          ['delivery', delivery_id == null ? undefined : <Untrusted text={delivery_id} />],
          ['came again', duplicates === 0 ? undefined : `${duplicates} times`],
          [
            'redelivery of',
            redelivery_of == null ? undefined : (
              <a class="mono" href={href('events', redelivery_of)}>
                …{shortId(redelivery_of)}
              </a>
            ),
          ],
        ]}
      />
      <h2>Runs of this event</h2>
      {runs.value.error === undefined ? null : <Problem error={runs.value.error} again={runs.again} />}
      {runs.value.value?.runs.length === 0 ? <p class="muted">It started no run.</p> : null}
      <ul class="stack">
        {runs.value.value?.runs.map(run => (
          <li key={run.id} class="actions">
            <RunLamp run={run} />
            <a href={href('runs', run.id)}>
              {run.trigger_id} <span class="mono">…{shortId(run.id)}</span>
            </a>
            <span class="muted small">
              <Ago at={run.created_at} />
            </span>
          </li>
        ))}
      </ul>
    </>
  )
}

function CausedBy({
  causation: { event_id, run_id, depth },
}: {
  causation: NonNullable<Event['causation']>
}): JSX.Element {
  return (
    <>
      the run{' '}
      <a class="mono" href={href('runs', run_id)}>
        …{shortId(run_id)}
      </a>{' '}
      of the event{' '}
      <a class="mono" href={href('events', event_id)}>
        …{shortId(event_id)}
      </a>
      , depth {depth}
    </>
  )
}
