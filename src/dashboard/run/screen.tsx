// One run: what it did with its time, what it prints, what it was given and answered, and what can be done about it.
import type { JSX } from 'preact'
import type { Run, RunHistoryResult } from '../../contract/types.ts'
import { now, useCall } from '../load.ts'
import {
  Ago,
  Card,
  Facts,
  Head,
  Lamp,
  Problem,
  RunLamp,
  Since,
  TabPanel,
  Tabs,
  Untrusted,
} from '../parts/basic.tsx'
import { isOver } from '../parts/lamp-kind.ts'
import { Lane, Track } from '../parts/track.tsx'
import { Tree } from '../parts/tree.tsx'
import { href, place, setQuery } from '../router.ts'
import { count, oneLine, shortId } from '../text.ts'
import { RunActions } from './actions.tsx'
import { Output } from './output.tsx'
import { Given, History, Request, Responses } from './parts.tsx'
import './run.css'
import { timeline } from './timeline.ts'

function Timeline({ run, history, attempts }: { run: Run } & RunHistoryResult): JSX.Element {
  const segments = timeline(run, history, attempts, isOver(run) ? run.updated_at : now.value)
  return (
    <Card>
      {segments.length === 0 ? <p class="muted">It has just been created.</p> : null}
      {segments.map(({ name, from, until, kind, text, isCompressed }, index) => (
        <Lane key={index} name={name} more={text}>
          <Track
            tall
            label={`${name}: ${text}`}
            marks={[{ at: from, until, kind, text: isCompressed ? `${text}, drawn shorter` : text }]}
          />
        </Lane>
      ))}
    </Card>
  )
}

function Progress({ progress }: { progress: NonNullable<Run['progress']> }): JSX.Element {
  const { percent, message, at } = progress
  return (
    <Card title="Progress">
      {percent === undefined ? null : <progress max={100} value={percent} aria-label="Progress" />}
      <p class="small">
        {percent === undefined ? '' : `${percent} %: `}
        <Untrusted text={message ?? ''} most={500} />{' '}
        <span class="muted">
          <Ago at={at} />
        </span>
      </p>
    </Card>
  )
}

function Side({ run }: { run: Run }): JSX.Element {
  const { usage, allowed_tools, cut_tools, deadline_at, deadline_name, assignment } = run
  return (
    <div class="stack">
      {run.progress === undefined ? null : <Progress progress={run.progress} />}
      <Card title="Facts">
        <Facts
          of={[
            ['event', <a href={href('events', run.event_id)}>…{shortId(run.event_id)}</a>],
            ['trigger', <a href={href('triggers', run.trigger_id)}>{run.trigger_id}</a>],
            ['version', run.trigger_version],
            [
              'bot',
              run.bot_id === null ? 'none chosen yet' : <a href={href('bots', run.bot_id)}>{run.bot_id}</a>,
            ],
            [
              'queue',
              run.queue === null || run.queue === run.bot_id ? undefined : (
                <a href={href('bots', 'queue', run.queue)}>{run.queue}</a>
              ),
            ],
            ['caused by', run.requested_by],
            ['replay', run.replay ? 'yes' : undefined],
            ['priority', run.priority === 0 ? undefined : run.priority],
            ['created', <Ago at={run.created_at} />],
            ['attempt', run.attempt === 0 ? undefined : run.attempt],
            ['events', run.events],
            [
              'deadline',
              deadline_at === undefined || isOver(run) ? undefined : (
                <Deadline name={deadline_name} at={deadline_at} />
              ),
            ],
            ['denials', run.denials],
            [
              'used',
              usage &&
                `${count(usage.input_tokens)} tokens in, ${count(usage.output_tokens)} out, ${usage.cost_usd.toFixed(2)} USD`,
            ],
            [
              'tools',
              allowed_tools === undefined
                ? 'all but the denied ones'
                : allowed_tools.map(tool => oneLine(tool)).join(', ') || 'none',
            ],
            [
              'removed',
              cut_tools?.map(({ tool, reason }) => `${oneLine(tool)} (${oneLine(reason)})`).join(', '),
            ],
            [
              'chosen',
              assignment?.chosen === undefined
                ? undefined
                : `${assignment.chosen} of ${assignment.considered ?? 0} that offer it`,
            ],
          ]}
        />
      </Card>
      {run.result === undefined ? null : (
        <Card title="Result">
          {typeof run.result === 'object' && run.result !== null ? (
            <Tree value={run.result} label="Result" />
          ) : (
            <Untrusted text={JSON.stringify(run.result)} most={2000} />
          )}
        </Card>
      )}
    </div>
  )
}

function Deadline({ name, at }: { name: string | undefined; at: number }): JSX.Element {
  return (
    <>
      {name?.replaceAll('_', ' ')} <Ago at={at} />
    </>
  )
}

const tabs = ['Output', 'Inputs', 'Request', 'Response', 'History'].map(title => ({
  name: title.toLowerCase(),
  title,
}))

function Parts({ run, history, attempts }: { run: Run } & RunHistoryResult): JSX.Element {
  const tab = place.value.query.get('tab') ?? (run.attempt === 0 ? 'inputs' : 'output')
  return (
    <Card>
      <Tabs tabs={tabs} chosen={tab} choose={name => setQuery({ tab: name })} label="Parts of the run" />
      <TabPanel label={tabs.find(({ name }) => name === tab)?.title ?? tab}>
        {tab === 'request' ? (
          <Request run={run} />
        ) : tab === 'response' ? (
          <Responses attempts={attempts} />
        ) : tab === 'history' ? (
          <History history={history} />
        ) : tab === 'inputs' ? (
          <Given run={run} />
        ) : (
          <Output run={run} />
        )}
      </TabPanel>
    </Card>
  )
}

export default function RunScreen({ id }: { id: string }): JSX.Element {
  const mine = {
    on: (message: { kind: string; run?: Run }) =>
      (message.kind === 'run' && message.run?.id === id) || message.kind === 'gap',
    every: 15_000,
  }
  const read = useCall('run.get', { run_id: id }, mine)
  const told = useCall('run.history', { run_id: id }, mine)
  const run = read.value.value?.run
  if (run === undefined)
    return read.value.error === undefined ? (
      <p class="muted">reading …</p>
    ) : (
      <Problem error={read.value.error} again={read.again} />
    )
  const { history = [], attempts = [] } = told.value.value ?? {}
  const changed = (): void => {
    read.again()
    told.again()
  }
  return (
    <>
      <Head title={run.trigger_id} actions={<RunActions run={run} changed={changed} />}>
        run <span class="mono">…{shortId(id)}</span> <RunLamp run={run} />{' '}
        {isOver(run) ? <Ago at={run.finished_at ?? run.updated_at} /> : <Since at={run.created_at} />}
      </Head>
      {run.waiting_for === undefined ? null : (
        <p>
          <Lamp kind="held">waiting</Lamp> {oneLine(run.waiting_for, 500)}
        </p>
      )}
      {run.cancel_requested === true && !isOver(run) ? (
        <Lamp kind="caution">Its bot was asked to stop.</Lamp>
      ) : null}
      {run.error === undefined ? null : (
        <p>
          <Lamp kind="stop">last error</Lamp> <Untrusted text={run.error} most={1000} />
        </p>
      )}
      {run.damaged === undefined ? null : (
        <Problem error={new Error(`damaged in the database: ${run.damaged.join(', ')}`)} />
      )}
      <div class="split split-side">
        <div class="stack">
          <Timeline run={run} history={history} attempts={attempts} />
          <Parts run={run} history={history} attempts={attempts} />
        </div>
        <Side run={run} />
      </div>
    </>
  )
}
