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
  { title: 'Trigger', width: 'minmax(110px, 1.4fr)', narrow: 'minmax(0, 1.4fr)', cell: ({ trigger_id }) => trigger_id },
  { title: 'Bot', width: 'minmax(80px, 1fr)', narrow: 'minmax(0, 1fr)', cell: ({ bot_id }) => bot_id ?? 'not chosen yet' },
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
  { title: 'Expires', width: '150px', cell: ({ deadline_at }) => (deadline_at === undefined ? 'never' : <Ago at={deadline_at} />), wide: true },
  { title: 'Caused by', width: 'minmax(80px, 1fr)', cell: ({ requested_by }) => requested_by ?? 'a delivery', wide: true },
]

const policy = `{"policy": {"approval": {"timeout_ms": 3600000}}}`

function Teach(): JSX.Element {
  return (
    <Empty title="Nothing waits for approval">
      <p>A trigger can ask a person before its bot starts. The run then waits here, and is denied when its time is over. Add this to the trigger:</p>
      <pre class="command">{policy}</pre>
      <Copy text={policy} what="policy" />
      <a href={href('triggers')}>Triggers</a>
    </Empty>
  )
}

function Inbox(): JSX.Element {
  const read = useCall('run.list', { state: 'awaiting_approval', limit: 100 }, { on: ({ kind }) => kind === 'run' || kind === 'gap', every: 30_000 })
  const { value, error } = read.value
  const waiting = value?.runs.length ?? 0
  return (
    <>
      <Head
        title={value === undefined ? 'Approvals' : waiting === 0 ? 'Approvals' : `${plural(waiting, 'run waits', 'runs wait')} for approval`}
        actions={<CopyCommand command="signalbox runs list --state awaiting_approval" />}
      />
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value === undefined ? null : waiting === 0 ? (
        <Teach />
      ) : (
        <List label="Approvals" rows={value.runs} columns={columns} link={({ id }) => href('approvals', id)} />
      )}
    </>
  )
}

export default function Screen({ rest }: ScreenProps): JSX.Element {
  return rest[0] === undefined ? <Inbox /> : <ApprovalScreen id={rest[0]} />
}
