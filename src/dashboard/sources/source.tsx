// One source: its configuration, what listens to it, and ways to try it.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { Source } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Button, Card, Copy, CopyCommand, Facts, Field, Head, Lamp, Problem } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { JsonField } from '../parts/json-field.tsx'
import { attempt, toast } from '../parts/toast.tsx'
import { Tree } from '../parts/tree.tsx'
import { go, href } from '../router.ts'
import { call, messageOf } from '../rpc.ts'
import { status } from '../status.ts'
import { oneLine, plural, shellQuote } from '../text.ts'
import { curlFor, signatureText } from './address.ts'
import { Connect } from './connect.tsx'
import { SourceLamp, sourceFacts } from './facts.tsx'

const tested = new Set<Source['source_type']>(['manual', 'cron'])

/** Makes an event by hand: as a person fires a manual source or a schedule, or as a test of any other. */
function Try({ source }: { source: Source }): JSX.Element {
  const isFired = tested.has(source.source_type)
  const text = useSignal('{\n  "hello": "world"\n}')
  const json = useSignal<{ json: unknown } | undefined>({ json: { hello: 'world' } })
  const type = useSignal('test')
  const send = async (): Promise<void> => {
    const payload = json.value?.json
    try {
      const { event_id, runs, matched_triggers } = isFired
        ? await call('source.fire', { source_id: source.id, payload: payload as Record<string, unknown> })
        : await call('event.emit', { source_id: source.id, type: type.value, payload })
      toast(`logged; ${plural(matched_triggers.length, 'trigger')} matched, ${plural(runs.length, 'run')}`)
      go(href('events', event_id))
    } catch (error) {
      toast(messageOf(error), 'stop')
    }
  }
  return (
    <Card title={isFired ? 'Fire by hand' : 'Send a test event'}>
      {isFired ? null : (
        <Field label="Type">
          <input value={type.value} onInput={event => (type.value = event.currentTarget.value)} />
        </Field>
      )}
      <JsonField
        label="Payload"
        text={text.value}
        change={(given, value) => {
          text.value = given
          json.value = value
        }}
        hint="The event is logged and starts what it matches."
      />
      <div class="actions">
        <Button
          look="primary"
          scope="emit"
          disabled={json.value === undefined || (!isFired && type.value === '')}
          onClick={() => void send()}
        >
          {isFired ? 'Fire' : 'Send'}
        </Button>
        <CopyCommand
          command={
            isFired
              ? `signalbox sources fire ${shellQuote(source.id)} ${shellQuote(text.value)}`
              : `signalbox emit ${shellQuote(source.id)} ${shellQuote(type.value)} --payload ${shellQuote(text.value)}`
          }
        />
      </div>
    </Card>
  )
}

function Listeners({ id }: { id: string }): JSX.Element {
  const read = useCall('trigger.list', { event_source_id: id, limit: 500 })
  const { value, error } = read.value
  return (
    <Card
      title={
        value === undefined
          ? 'Triggers'
          : plural(value.triggers.length, 'trigger listens to it', 'triggers listen to it')
      }
    >
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      <ul class="stack">
        {value?.triggers.map(trigger => (
          <li key={trigger.id}>
            <a href={href('triggers', trigger.id)}>{trigger.id}</a>{' '}
            {trigger.enabled ? null : <Lamp kind="miss">disabled</Lamp>}
          </li>
        ))}
      </ul>
      <a class="small" href={href('triggers', 'new', { source: id })}>
        Create a trigger
      </a>
    </Card>
  )
}

export function SourceScreen({ id }: { id: string }): JSX.Element {
  const read = useCall(
    'source.get',
    { source_id: id },
    { every: 15_000, on: message => message.kind === 'event' && message.event.source_id === id },
  )
  const source = read.value.value?.source
  if (source === undefined)
    return read.value.error === undefined ? (
      <p class="muted">reading …</p>
    ) : (
      <Problem error={read.value.error} again={read.again} />
    )
  const toggle = async (): Promise<void> => {
    await attempt(source.enabled ? 'disabled' : 'enabled', () =>
      call(source.enabled ? 'source.disable' : 'source.enable', { source_id: id }),
    )
    read.again()
  }
  const remove = (): void =>
    confirm(
      {
        title: `Delete the source ${id}?`,
        text: 'Its events stay in the log. Deliveries to it are refused from now on.',
        yes: 'Delete',
        danger: true,
        typed: id,
      },
      () => {
        void attempt(`${id} deleted`, () =>
          call('source.delete', { source_id: id, version: source.version }),
        ).then(isDone => isDone && go(href('sources')))
      },
    )
  const curl = curlFor(source, status.value?.intake_address)
  return (
    <>
      <Head
        title={source.id}
        actions={
          <>
            <a class="button" href={href('events', { source: id })}>
              Events
            </a>
            <Button scope="operate" onClick={() => void toggle()}>
              {source.enabled ? 'Disable' : 'Enable'}
            </Button>
            <Button look="danger" scope="write" onClick={remove}>
              Delete
            </Button>
            <CopyCommand command={`signalbox sources show ${shellQuote(id)}`} />
          </>
        }
      >
        {source.source_type} source, version {source.version} <SourceLamp source={source} />
      </Head>
      {source.description === undefined ? null : <p class="muted">{oneLine(source.description, 500)}</p>}
      <div class="split">
        <div class="stack">
          <Card title="State">
            <Facts of={sourceFacts(source)} />
          </Card>
          <Card title="Configuration">
            <Tree value={source.config} label="Configuration" />
          </Card>
          <Listeners id={id} />
        </div>
        <div class="stack">
          {source.config.provider === 'forgejo' || source.config.provider === 'gitea' ? (
            <Connect source_id={id} />
          ) : null}
          <Try source={source} />
          {source.webhook_path === undefined ? null : (
            <Card
              title="A delivery, as a sender makes it"
              more={curl === undefined ? null : <Copy text={curl} what="command" />}
            >
              <p class="small">{signatureText(source.config.provider)}</p>
              {curl === undefined ? null : <pre class="command">{curl}</pre>}
            </Card>
          )}
        </div>
      </div>
    </>
  )
}
