// The bots, and where runs wait for them.
import type { JSX } from 'preact'
import type { Bot, Queue, QueueStat } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Ago, Card, CopyCommand, Empty, Facts, Head, Lamp, Problem, TableHead } from '../parts/basic.tsx'
import { href } from '../router.ts'
import type { ScreenProps } from '../screens.ts'
import { count, oneLine } from '../text.ts'
import { BotLamp, BotScreen } from './bot.tsx'
import { QueueScreen } from './queue.tsx'

const onRuns = { on: ({ kind }: { kind: string }) => kind === 'run' || kind === 'gap', every: 15_000 }

function BotCard({ bot }: { bot: Bot }): JSX.Element {
  const { id, endpoint, description, active = 0, max_active, last_heard_at, availability, owner } = bot
  return (
    <Card
      title={
        <>
          <a href={href('bots', id)}>{id}</a> <span class="muted">{endpoint.kind.replaceAll('_', ' ')}</span>
        </>
      }
      more={<BotLamp bot={bot} />}
    >
      {description === undefined ? null : <p class="small muted">{oneLine(description, 300)}</p>}
      <Facts
        of={[
          [
            'running',
            <a href={href('runs', { bot: id, state: 'running' })}>{`${active} of ${max_active}`}</a>,
          ],
          ['available', availability],
          ['last heard', last_heard_at === undefined ? undefined : <Ago at={last_heard_at} />],
          ['owner', owner],
        ]}
      />
    </Card>
  )
}

function QueueRow({ queue, stat }: { queue: Queue; stat: QueueStat | undefined }): JSX.Element {
  const { id, waiting, active, max_active, paused } = queue
  return (
    <tr>
      <td>
        <a href={href('bots', 'queue', id)}>{id}</a>
      </td>
      <td>
        {paused ? (
          <Lamp kind="held">paused</Lamp>
        ) : (
          <Lamp kind={active > 0 ? 'active' : 'clear'}>{active > 0 ? 'running' : 'open'}</Lamp>
        )}
      </td>
      <td class="figure">
        {count(active)}
        {max_active === undefined ? '' : ` of ${max_active}`}
      </td>
      <td class="figure">{count(waiting)}</td>
      <td>{stat?.oldest_waiting_at === undefined ? '' : <Ago at={stat.oldest_waiting_at} />}</td>
      <td class="figure">{stat === undefined ? '' : count(stat.done)}</td>
    </tr>
  )
}

function Queues(): JSX.Element {
  const read = useCall('queue.list', { limit: 500 }, onRuns)
  const stats = useCall('router.stats', {}, onRuns)
  const { value, error } = read.value
  return (
    <Card title="Queues" more={<CopyCommand command="signalbox queues" />}>
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value?.queues.length === 0 ? (
        <p class="muted small">
          Each bot has a queue of its own; others are written to limit several together.
        </p>
      ) : null}
      {value === undefined || value.queues.length === 0 ? null : (
        <div class="scroll">
          <table>
            <TableHead
              titles={['Queue', 'State', 'Running', 'Waiting', 'Oldest waits since', 'Completed in 24 h']}
            />
            <tbody>
              {value.queues.map(queue => (
                <QueueRow
                  key={queue.id}
                  queue={queue}
                  stat={stats.value.value?.queues.find(({ id }) => id === queue.id)}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  )
}

function Bots(): JSX.Element {
  const read = useCall('bot.list', { limit: 500 }, onRuns)
  const { value, error } = read.value
  return (
    <>
      <Head title="Bots & queues" actions={<CopyCommand command="signalbox bots" />} />
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value?.bots.length === 0 ? (
        <Empty title="No bot yet">
          <p>
            A bot does the work: a command of this machine, an HTTP or JSON-RPC service, or a worker that asks
            for runs. Write one and apply it:
          </p>
          <pre class="command">{`echo '{"id": "hello", "endpoint": {"kind": "command", "argv": ["/bin/cat"]}}' | signalbox bots put -`}</pre>
        </Empty>
      ) : null}
      <div class="cards">
        {value?.bots.map(bot => (
          <BotCard key={bot.id} bot={bot} />
        ))}
      </div>
      <Queues />
    </>
  )
}

export default function Screen({ rest: [first, second] }: ScreenProps): JSX.Element {
  if (first === undefined) return <Bots />
  return first === 'queue' && second !== undefined ? <QueueScreen id={second} /> : <BotScreen id={first} />
}
