// One queue: its runs on a time axis, and the order keys that block others.
import type { JSX } from 'preact'
import type { Queue, StuckKey } from '../../contract/types.ts'
import { now, useCall } from '../load.ts'
import {
  Ago,
  Button,
  Card,
  CopyCommand,
  Empty,
  Facts,
  Head,
  Lamp,
  Problem,
  RunLamp,
  Untrusted,
} from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { Lane, Track } from '../parts/track.tsx'
import { attempt } from '../parts/toast.tsx'
import { href } from '../router.ts'
import { call } from '../rpc.ts'
import { count, duration, oneLine, plural, shellQuote, shortId } from '../text.ts'
import { queueLanes } from './lanes.ts'

const shown = 100
const onRuns = { on: ({ kind }: { kind: string }) => kind === 'run' || kind === 'gap', every: 15_000 }

/** What runs, what waits, and what it is blocked by. */
export function QueueLanes({ queue }: { queue: string }): JSX.Element {
  const read = useCall('run.list', { queue, limit: 500 }, onRuns)
  const { value, error } = read.value
  const { lanes, since } = queueLanes(value?.runs ?? [], now.value)
  return (
    <Card title={`Runs of the queue, ${duration(now.value - since)} to now`}>
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value !== undefined && lanes.length === 0 ? <p class="muted small">Nothing runs or waits.</p> : null}
      {lanes.slice(0, shown).map(({ run, kind, from, until, text }) => (
        <div key={run.id} class="stack">
          <Lane
            name={
              <a href={href('runs', run.id)}>
                {run.trigger_id} <span class="mono">…{shortId(run.id)}</span>
              </a>
            }
            more={<RunLamp run={run} />}
          >
            <Track tall label={`${run.trigger_id}: ${text}`} marks={[{ at: from, until, kind, text }]} />
          </Lane>
          <p class="small muted">
            <Untrusted text={text} most={300} />
          </p>
        </div>
      ))}
      {lanes.length > shown ? <p class="muted small">{count(lanes.length - shown)} more</p> : null}
    </Card>
  )
}

function Stuck({
  queue_id,
  stuck,
  again,
}: {
  queue_id: string
  stuck: StuckKey
  again: () => void
}): JSX.Element {
  const { order_key, run_id, state, waiting, since, error } = stuck
  const skip = (): void =>
    confirm(
      {
        title: 'Let the runs behind it go?',
        text: `The runs of ${oneLine(order_key)} no longer wait for the first one. Their order is given up.`,
        yes: 'Let them go',
      },
      () =>
        void attempt('the runs behind it go on', () => call('queue.skip', { queue_id, order_key })).then(
          again,
        ),
    )
  return (
    <li class="card">
      <div class="card-head">
        <h3>
          <Untrusted text={order_key} />
        </h3>
        <Lamp kind="held">{plural(waiting, 'run waits', 'runs wait')} behind it</Lamp>
      </div>
      <p class="small">
        The <a href={href('runs', run_id)}>first run</a> is {state.replaceAll('_', ' ')} since{' '}
        <Ago at={since} />
        {error === undefined ? '' : ': '}
        {error === undefined ? null : <Untrusted text={error} most={300} />}
      </p>
      <div class="actions">
        <Button scope="approve" onClick={skip} label={`Skip ${oneLine(order_key, 60)}`}>
          Skip
        </Button>
      </div>
    </li>
  )
}

function facts(queue: Queue): [string, string | undefined][] {
  const { max_active, max_pending, rate, active, waiting, paused_reason } = queue
  return [
    ['running', `${active}${max_active === undefined ? '' : ` of ${max_active}`}`],
    ['waiting', `${waiting}${max_pending === undefined ? '' : ` of ${max_pending}`}`],
    ['rate', rate === undefined ? undefined : `${rate.limit} in ${duration(rate.period_ms)}`],
    ['paused', paused_reason === undefined ? undefined : oneLine(paused_reason)],
  ]
}

export function QueueScreen({ id }: { id: string }): JSX.Element {
  const read = useCall('queue.get', { queue_id: id }, onRuns)
  const queue = read.value.value?.queue
  if (queue === undefined)
    return read.value.error === undefined ? (
      <p class="muted">reading …</p>
    ) : (
      <Problem error={read.value.error} again={read.again} />
    )
  const act = (what: string, doIt: () => Promise<unknown>): void => void attempt(what, doIt).then(read.again)
  const pause = (): void =>
    confirm(
      {
        title: `Pause the queue ${id}?`,
        text: 'No new runs start; running ones continue.',
        yes: 'Pause',
        reason: 'optional',
      },
      reason =>
        act('paused', () =>
          call('queue.pause', { queue_id: id, ...(reason === undefined ? {} : { reason }) }),
        ),
    )
  return (
    <>
      <Head
        title={id}
        actions={
          <>
            {queue.paused ? (
              <Button
                scope="operate"
                look="primary"
                onClick={() => act('resumed', () => call('queue.resume', { queue_id: id }))}
              >
                Resume
              </Button>
            ) : (
              <Button scope="operate" onClick={pause}>
                Pause
              </Button>
            )}
            <CopyCommand command={`signalbox queues show ${shellQuote(id)}`} />
          </>
        }
      >
        queue {queue.paused ? <Lamp kind="held">paused</Lamp> : <Lamp kind="clear">open</Lamp>}
      </Head>
      <Card title="State">
        <Facts of={facts(queue)} />
      </Card>
      {(queue.stuck ?? []).length === 0 ? null : (
        <Card title="Blocked order keys">
          <ul class="stack">
            {queue.stuck!.map(stuck => (
              <Stuck key={stuck.order_key} queue_id={id} stuck={stuck} again={read.again} />
            ))}
          </ul>
        </Card>
      )}
      <QueueLanes queue={id} />
      {queue.version === 0 && queue.waiting === 0 && queue.active === 0 ? (
        <Empty title="Nothing waits here">
          <p>
            This queue has no limits of its own. Write one to limit how many runs are with bots at the same
            time, or how often they start.
          </p>
        </Empty>
      ) : null}
    </>
  )
}
