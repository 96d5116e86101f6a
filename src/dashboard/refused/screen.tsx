// Deliveries that the webhook intake refused, and what to do about each. Nothing of their bodies and headers is kept.
import type { JSX } from 'preact'
import type { RefusedDelivery } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Ago, Button, Card, CopyCommand, Empty, Facts, Field, Head, Lamp, Problem, Time, Untrusted } from '../parts/basic.tsx'
import { go, href, place, setQuery } from '../router.ts'
import { status } from '../status.ts'
import { bytes, count, plural, shellQuote } from '../text.ts'

function placeOf({ source_id, path }: RefusedDelivery): JSX.Element {
  if (source_id !== undefined) return <a href={href('sources', source_id)}>{source_id}</a>
  return <Untrusted text={path ?? '(no request)'} />
}

function Refusal({ refusal }: { refusal: RefusedDelivery }): JSX.Element {
  const { reason, title, help, status: code, address, bytes: size, count: times, first_at, last_at } = refusal
  return (
    <Card
      title={
        <>
          {placeOf(refusal)} · {plural(times, 'delivery', 'deliveries')}
        </>
      }
      more={<Lamp kind="caution">{title}</Lamp>}
    >
      <p>{help}</p>
      <Facts
        of={[
          ['last', <Ago at={last_at} />],
          ['first', times === 1 ? undefined : <Time at={first_at} />],
          ['reason', <code>{reason}</code>],
          ['answer', code === undefined ? 'none: the connection was closed' : `HTTP ${code}`],
          ['from', address],
          ['body', size === undefined ? undefined : bytes(size)],
        ]}
      />
    </Card>
  )
}

export default function Screen(): JSX.Element {
  const { query } = place.value
  const source_id = query.get('source') ?? ''
  const read = useCall('event.refused', { limit: 200, ...(source_id === '' ? {} : { source_id }) }, { every: 15_000 })
  const { value, error } = read.value
  const total = value?.refused.reduce((sum, each) => sum + each.count, 0) ?? 0
  return (
    <>
      <Head title="Refused" actions={<CopyCommand command={`signalbox events refused${source_id === '' ? '' : ` --source ${shellQuote(source_id)}`}`} />}>
        {total === 0 ? undefined : `${count(total)} ${total === 1 ? 'delivery' : 'deliveries'}`}
      </Head>
      <search class="filters">
        <Field label="Source">
          <input key={source_id} defaultValue={source_id} placeholder="forge" onChange={event => setQuery({ source: event.currentTarget.value.trim() })} />
        </Field>
        {source_id === '' ? null : <Button onClick={() => go(href('refused'))}>Clear</Button>}
      </search>
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value?.refused.length === 0 ? (
        <Empty title="No delivery was refused">
          <p>
            The intake refuses a delivery whose signature is wrong, that is too large, or that names no source. It is listed here with the reason and what to
            do, and is not in the log: nothing of its body and headers is kept. The intake listens at {status.value?.intake_address}.
          </p>
        </Empty>
      ) : null}
      <div class="cards">
        {value?.refused.map(each => (
          <Refusal key={`${each.source_id ?? each.path ?? ''} ${each.reason} ${each.address ?? ''}`} refusal={each} />
        ))}
      </div>
      {value?.next_cursor === undefined ? null : <p class="muted">Older ones are listed by the command.</p>}
    </>
  )
}
