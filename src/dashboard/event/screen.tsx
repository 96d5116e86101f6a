// One event: what it holds, and why it did or did not start something.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { Event } from '../../contract/types.ts'
import { redactedSample } from '../../sample-redaction.ts'
import { writeJson } from '../json.ts'
import { useCall } from '../load.ts'
import { Button, Card, CopyCommand, Head, Problem, TabPanel, Tabs, Time, Untrusted } from '../parts/basic.tsx'
import { useKeys } from '../parts/keys.ts'
import { Tree } from '../parts/tree.tsx'
import { toast } from '../parts/toast.tsx'
import { go, href, place, setQuery } from '../router.ts'
import { Decisions } from './decisions.tsx'
import './event.css'
import { Causes, HeaderTable, Raw } from './raw.tsx'
import { Replay } from './replay.tsx'

/** Saves the event as a file that test cases can name. Secrets are left out. */
function saveSample({
  id,
  source_id,
  type,
  subject,
  actor,
  thread,
  timestamp,
  headers,
  payload,
}: Event): void {
  const { value, paths } = redactedSample({
    source_id,
    type,
    subject,
    actor,
    thread,
    timestamp,
    headers,
    payload,
  })
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([`${writeJson(value)}\n`], { type: 'application/json' }))
  link.download = `${source_id}-${type.replaceAll(/[^A-Za-z0-9._-]/g, '-')}-${id.slice(-8)}.json`
  link.click()
  URL.revokeObjectURL(link.href)
  toast(paths.length === 0 ? 'saved as a sample' : `saved as a sample, without ${paths.join(', ')}`)
}

const tabs = [
  { name: 'payload', title: 'Payload' },
  { name: 'raw', title: 'Raw' },
  { name: 'headers', title: 'Headers' },
  { name: 'causes', title: 'Caused by / caused' },
]

function Content({ event }: { event: Event }): JSX.Element {
  const tab = place.value.query.get('tab') ?? 'payload'
  const useInFilter = (path: (string | number)[], value: unknown): void =>
    go(
      href('triggers', 'new', {
        event: event.id,
        path: JSON.stringify(path.filter(each => typeof each === 'string')),
        value: JSON.stringify(value),
      }),
    )
  return (
    <Card>
      <Tabs
        tabs={tabs}
        chosen={tab}
        choose={name => setQuery({ tab: name === 'payload' ? undefined : name })}
        label="Parts of the event"
      />
      <TabPanel label={tabs.find(({ name }) => name === tab)?.title ?? tab}>
        {tab === 'raw' ? (
          <Raw event={event} />
        ) : tab === 'headers' ? (
          <HeaderTable event={event} />
        ) : tab === 'causes' ? (
          <Causes event={event} />
        ) : event.payload_left_out === true ? (
          <p class="muted">Your login does not have the scope payload, so payloads are left out.</p>
        ) : (
          <Tree value={event.payload} label="Payload" at="payload" useInFilter={useInFilter} />
        )}
      </TabPanel>
    </Card>
  )
}

export default function EventScreen({ id }: { id: string }): JSX.Element {
  const read = useCall('event.get', { event_id: id })
  const isReplaying = useSignal(false)
  const event = read.value.value
  useKeys([{ keys: 'r', what: 'replay', act: () => void (isReplaying.value = event !== undefined) }])
  if (read.value.error !== undefined) return <Problem error={read.value.error} again={read.again} />
  if (event === undefined) return <p class="muted">reading …</p>
  return (
    <>
      <Head
        title={
          <>
            <Untrusted text={event.type} /> ·{' '}
            <Untrusted text={event.thread ?? event.subject ?? 'no subject'} />
          </>
        }
        actions={
          <>
            <Button scope="approve" onClick={() => (isReplaying.value = true)}>
              Replay <kbd>r</kbd>
            </Button>
            <Button scope="payload" onClick={() => saveSample(event)}>
              Save as sample
            </Button>
            <CopyCommand command={`signalbox explain ${event.id}`} />
          </>
        }
      >
        by{' '}
        {event.actor === null ? (
          (event.requested_by ?? 'an unknown sender')
        ) : (
          <Untrusted text={event.actor} />
        )}
        , <Time at={event.received_at} />, source{' '}
        <a href={href('sources', event.source_id)}>{event.source_id}</a>
        {event.emitted === true ? ', emitted: not signed' : ''}
      </Head>
      {event.damaged === undefined ? null : (
        <Problem error={new Error(`damaged in the database: ${event.damaged.join(', ')}`)} />
      )}
      <div class="split">
        <Content event={event} />
        <Decisions event={event} />
      </div>
      {isReplaying.value ? <Replay event={event} close={() => (isReplaying.value = false)} /> : null}
    </>
  )
}
