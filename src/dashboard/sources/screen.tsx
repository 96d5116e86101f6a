// Where events come from.
import type { JSX } from 'preact'
import type { Source } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Button, Card, Copy, CopyCommand, Empty, Facts, Head, Problem } from '../parts/basic.tsx'
import { attempt } from '../parts/toast.tsx'
import { href } from '../router.ts'
import { call } from '../rpc.ts'
import type { ScreenProps } from '../screens.ts'
import { oneLine } from '../text.ts'
import { SourceLamp, sourceFacts } from './facts.tsx'
import { NewSource } from './new.tsx'
import { SourceScreen } from './source.tsx'
import './sources.css'

function SourceCard({ source, again }: { source: Source; again: () => void }): JSX.Element {
  const { id, source_type, enabled, description } = source
  const toggle = async (): Promise<void> => {
    await attempt(enabled ? `${id} disabled` : `${id} enabled`, () =>
      call(enabled ? 'source.disable' : 'source.enable', { source_id: id }),
    )
    again()
  }
  return (
    <Card
      title={
        <>
          <a href={href('sources', id)}>{id}</a> <span class="muted">{source_type}</span>
        </>
      }
      more={<SourceLamp source={source} />}
    >
      {description === undefined ? null : <p class="small muted">{oneLine(description, 300)}</p>}
      <Facts of={sourceFacts(source)} />
      <div class="actions">
        <a class="button" href={href('events', { source: id })}>
          Events
        </a>
        <Button
          scope="operate"
          onClick={() => void toggle()}
          label={`${enabled ? 'Disable' : 'Enable'} ${id}`}
        >
          {enabled ? 'Disable' : 'Enable'}
        </Button>
      </div>
    </Card>
  )
}

const first = `echo '{"id": "jobs", "source_type": "service"}' | signalbox sources put -
signalbox emit jobs hello --payload '{"hello": "world"}'`

function Sources(): JSX.Element {
  const read = useCall('source.list', { limit: 500 }, { every: 15_000, on: ({ kind }) => kind === 'event' })
  const { value, error } = read.value
  return (
    <>
      <Head
        title="Sources"
        actions={
          <>
            <a class="button button-primary" href={href('sources', 'new')}>
              New source
            </a>
            <a class="button" href={href('sources', 'new', { with: 'forgejo' })}>
              Connect a Forgejo
            </a>
            <CopyCommand command="signalbox sources" />
          </>
        }
      />
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value?.sources.length === 0 ? (
        <Empty title="No source yet">
          <p>
            A source is where events come from: a forge that delivers webhooks, a schedule, a feed that is
            polled, a local service, or a button that a person presses.
          </p>
          <div class="actions">
            <a class="button" href={href('sources', 'new')}>
              Create the first one
            </a>
            <a class="button" href={href('sources', 'new', { with: 'forgejo' })}>
              Connect a Forgejo
            </a>
          </div>
          <p>Or create one of a local service, and emit an event into it:</p>
          <pre class="command">{first}</pre>
          <Copy text={first} what="commands" />
        </Empty>
      ) : null}
      <div class="cards">
        {value?.sources.map(source => (
          <SourceCard key={source.id} source={source} again={read.again} />
        ))}
      </div>
      {value?.next_cursor === undefined ? null : (
        <p class="muted">The first {value.sources.length} are shown; the command lists all of them.</p>
      )}
    </>
  )
}

export default function Screen({ rest: [id] }: ScreenProps): JSX.Element {
  if (id === undefined) return <Sources />
  return id === 'new' ? <NewSource /> : <SourceScreen id={id} />
}
