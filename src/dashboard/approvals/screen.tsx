// Runs that wait for a person.
import type { JSX } from 'preact'
import type { Run } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Ago, Copy, CopyCommand, Empty, Head, Lamp, Problem, Since } from '../parts/basic.tsx'
import { List, type Column } from '../parts/list.tsx'
import { href } from '../router.ts'
import type { ScreenProps } from '../screens.ts'
import { plural } from '../text.ts'
import ApprovalScreen from './approval.tsx'

const columns: Column<Run>[] = [
  {
    title: 'Trigger',
    width: 'minmax(110px, 1.4fr)',
    narrow: 'minmax(0, 1.4fr)',
    cell: ({ trigger_id }) => trigger_id,
  },
  {
    title: 'Bot',
    width: 'minmax(80px, 1fr)',
    narrow: 'minmax(0, 1fr)',
    cell: ({ bot_id }) => bot_id ?? 'not chosen yet',
  },
  {
    title: 'Waits',
    width: '130px',
    narrow: '100px',
    cell: ({ created_at }) => (
      <Lamp kind="held">
        <Since at={created_at} />
      </Lamp>
    ),
  },
  {
    title: 'Expires',
    width: '150px',
    cell: ({ deadline_at }) => (deadline_at === undefined ? 'never' : <Ago at={deadline_at} />),
    wide: true,
  },
  {
    title: 'Caused by',
    width: 'minmax(80px, 1fr)',
    cell: ({ requested_by }) => requested_by ?? 'a delivery',
    wide: true,
  },
]

/** A file that signalbox apply takes, for a router that has the source and the bot. */
const example = `triggers:
  - id: deploy-site
    event_source_id: forge
    filter:
      type: [push]
    action:
      bot_id: deployer
    policy:
      approval:
        timeout_ms: 3600000 # after an hour it counts as denied
`

const command = 'signalbox apply --file deploy.yaml'

function Teach(): JSX.Element {
  return (
    <Empty title="Nothing waits for approval">
      <p>
        A trigger can ask a person before its bot starts. Each of its runs then waits here, with what the bot
        would get. An approval is for one run, as it was shown, once. A denial, or no answer in time, ends in
        a held run: nothing starts.
      </p>
      <p>
        <code>policy.approval</code> of a trigger asks for it. <code>approval: {'{}'}</code> waits without a
        limit; with <code>bot_id</code> a bot is asked, not a person.
      </p>
      <pre class="command">{example}</pre>
      <div class="actions">
        <Copy text={example} what="example" />
        <CopyCommand command={command} />
        <a href={href('triggers')}>Triggers</a>
      </div>
    </Empty>
  )
}

function Inbox(): JSX.Element {
  const read = useCall(
    'run.list',
    { state: 'awaiting_approval', limit: 100 },
    { on: ({ kind }) => kind === 'run' || kind === 'gap', every: 30_000 },
  )
  const { value, error } = read.value
  const waiting = value?.runs.length ?? 0
  return (
    <>
      <Head
        title={
          waiting === 0
            ? 'Approvals'
            : `${value?.next_cursor === undefined ? '' : 'More than '}${plural(waiting, 'run waits', 'runs wait')} for approval`
        }
        actions={<CopyCommand command="signalbox runs list --state awaiting_approval" />}
      />
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value === undefined ? null : waiting === 0 ? (
        <Teach />
      ) : (
        <List
          label="Approvals"
          rows={value.runs}
          columns={columns}
          link={({ id }) => href('approvals', id)}
        />
      )}
    </>
  )
}

export default function Screen({ rest }: ScreenProps): JSX.Element {
  return rest[0] === undefined ? <Inbox /> : <ApprovalScreen id={rest[0]} />
}
