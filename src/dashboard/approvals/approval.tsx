// One run that waits for a decision: what it would do, and the decision, which is bound to what is shown.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Run, RunPreview } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import {
  Ago,
  Button,
  Card,
  CopyCommand,
  Facts,
  Head,
  Lamp,
  Problem,
  RunLamp,
  Since,
  Time,
  Untrusted,
} from '../parts/basic.tsx'
import { Tree } from '../parts/tree.tsx'
import { href } from '../router.ts'
import { History as HistoryTable } from '../run/parts.tsx'
import { can } from '../session.ts'
import { oneLine, plural } from '../text.ts'
import './approval.css'
import { beforeText } from './before.ts'
import { changesText } from './changes.ts'
import { Decision, type DecisionProps } from './decision.tsx'

/** A bot and its kind: a command runs on this machine, an http bot does not. */
function BotName({ id }: { id: string }): JSX.Element {
  const read = useCall('bot.get', { bot_id: id })
  const kind = read.value.value?.bot.endpoint.kind.replaceAll('_', ' ')
  return (
    <>
      <a href={href('bots', id)}>{id}</a>
      {kind === undefined ? '' : ` (${kind})`}
    </>
  )
}

function Subject({ preview: { run, event } }: { preview: RunPreview }): JSX.Element {
  return (
    <Card>
      <Facts
        of={[
          [
            'trigger',
            <>
              <a href={href('triggers', run.trigger_id)}>{run.trigger_id}</a> v{run.trigger_version}
            </>,
          ],
          [
            'event',
            <>
              <a href={href('events', event.id)}>
                <Untrusted text={event.type} />
              </a>{' '}
              {event.actor === null ? '' : <>by {<Untrusted text={event.actor} />}, </>}
              <Time at={event.received_at} /> (<Ago at={event.received_at} />)
              {run.events === undefined ? '' : `, the last of ${run.events}`}
            </>,
          ],
          ['thread', event.thread === null ? undefined : <Untrusted text={event.thread} />],
          ['subject', event.subject === null ? undefined : <Untrusted text={event.subject} />],
          ['bot', run.bot_id === null ? 'not chosen yet' : <BotName id={run.bot_id} />],
          ['workflow', run.workflow_id === null ? undefined : oneLine(run.workflow_id)],
          ['caused by', run.requested_by],
          [
            'expires',
            run.deadline_at === undefined ? (
              'never: it waits until it is decided'
            ) : (
              <Ago at={run.deadline_at} />
            ),
          ],
          ['denied before', run.denials],
        ]}
      />
    </Card>
  )
}

function Tools({
  preview: { run, allowed_tools, denied_tools = [], allowed_denied_tools = [], context_files = [] },
}: {
  preview: RunPreview
}): JSX.Element {
  const listed = (tools: readonly string[]): string => tools.map(tool => oneLine(tool)).join(', ') || 'none'
  return (
    <Card title="Tools">
      <Facts
        of={[
          [
            'allowed',
            allowed_tools == null ? 'no list: all but the denied ones' : <code>{listed(allowed_tools)}</code>,
          ],
          [
            'exceptions',
            allowed_denied_tools.length === 0 ? undefined : (
              <Lamp kind="caution">{listed(allowed_denied_tools)}</Lamp>
            ),
          ],
          [
            'removed',
            run.cut_tools?.map(({ tool, reason }) => `${oneLine(tool)} (${oneLine(reason)})`).join(', '),
          ],
          ['files', context_files.length === 0 ? undefined : listed(context_files)],
        ]}
      />
      <details>
        <summary class="small muted">{plural(denied_tools.length, 'denied tool')}</summary>
        <code>{listed(denied_tools)}</code>
      </details>
    </Card>
  )
}

function Before({ run: { trigger_id, id } }: { run: Run }): JSX.Element {
  const read = useCall('run.list', { trigger_id, limit: 100 })
  const { value } = read.value
  return (
    <Card title="Before">
      {value === undefined ? null : (
        <p class="small">
          {beforeText(
            value.runs.filter(run => run.id !== id),
            value.next_cursor === undefined,
          )}
        </p>
      )}
      <a class="small" href={href('runs', { trigger: trigger_id })}>
        Runs of this trigger
      </a>
    </Card>
  )
}

function History({ run: { id } }: { run: Run }): JSX.Element {
  const read = useCall(
    'run.history',
    { run_id: id },
    { on: message => message.kind === 'run' && message.run.id === id },
  )
  const { value, error } = read.value
  return (
    <Card title="History">
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value === undefined ? null : (
        <div class="scroll" role="region" aria-label="History" tabIndex={0}>
          <HistoryTable history={value.history} />
        </div>
      )}
    </Card>
  )
}

function Given({ preview: { run, inputs, problem } }: { preview: RunPreview }): JSX.Element {
  return (
    <Card title="What it will get">
      {problem !== undefined ? (
        <Lamp kind="stop">{oneLine(problem, 500)}</Lamp>
      ) : inputs === undefined || inputs === null ? (
        <p class="small">
          The event: its trigger names no inputs. <a href={href('events', run.event_id)}>Look at it</a>
        </p>
      ) : (
        <Tree value={inputs} label="Inputs" />
      )}
      {run.attempt === 0 ? null : (
        <a class="small" href={href('runs', run.id, { tab: 'request' })}>
          The request of the attempt before
        </a>
      )}
    </Card>
  )
}

function Shown({
  preview,
  changes,
  isOld,
  showNow,
}: { preview: RunPreview; changes: string | undefined } & Omit<DecisionProps, 'preview'>): JSX.Element {
  const { run } = preview
  const { id } = run
  const isWaiting = run.state === 'awaiting_approval'
  const said = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (changes !== undefined) said.current?.scrollIntoView({ block: 'center' })
  }, [changes])
  return (
    <>
      <Head
        title={isWaiting ? `Approve ${run.trigger_id}?` : run.trigger_id}
        actions={<CopyCommand command={`signalbox runs approve ${id}`} />}
      >
        {isWaiting ? (
          <Lamp kind="held">
            waits <Since at={run.created_at} />
          </Lamp>
        ) : (
          <RunLamp run={run} />
        )}
      </Head>
      {isWaiting ? null : (
        <p>
          It does not wait for a decision any more. <a href={href('runs', id)}>The run</a> ·{' '}
          <a href={href('approvals')}>All approvals</a>
        </p>
      )}
      <div role="status" ref={said}>
        {changes === undefined ? null : (
          <p class="banner">
            <span>
              <Lamp kind="caution">changed</Lamp> {changes}
            </span>
            {isOld ? <Button onClick={() => showNow()}>Show what it is now</Button> : null}
          </p>
        )}
      </div>
      <div class="split">
        <div class="stack">
          <Subject preview={preview} />
          <Given preview={preview} />
        </div>
        <div class="stack">
          <Tools preview={preview} />
          <Before run={run} />
          <History run={run} />
        </div>
      </div>
      {isWaiting ? <Decision preview={preview} isOld={isOld} showNow={showNow} /> : null}
    </>
  )
}

/** What is shown stays until it is loaded again: it must not change under a finger that is about to approve it. */
export default function ApprovalScreen({ id }: { id: string }): JSX.Element {
  const read = useCall('run.preview', can('payload') ? { run_id: id } : undefined, {
    on: message => (message.kind === 'run' && message.run.id === id) || message.kind === 'gap',
    every: 30_000,
  })
  const shown = useSignal<RunPreview | undefined>(undefined)
  const newer = useSignal<string | undefined>(undefined)
  const said = useSignal<string | undefined>(undefined)
  /** Set while what comes next is to be shown; begins: what is said before the changes. */
  const wanted = useRef<{ begins: string } | undefined>(undefined)
  const { value, error } = read.value
  useEffect(() => {
    if (value === undefined) return
    const changes = shown.peek() === undefined ? undefined : changesText(shown.peek()!, value)
    if (changes !== undefined && wanted.current === undefined && value.run.state === 'awaiting_approval') {
      newer.value = changes
      return
    }
    if (changes !== undefined) said.value = (wanted.current?.begins ?? '') + changes
    newer.value = undefined
    wanted.current = undefined
    shown.value = value
  }, [value])
  const showNow = (verb?: string): void => {
    wanted.current = {
      begins:
        verb === undefined ? '' : `Nothing was ${verb}: it changed after it was shown. Look at it again: `,
    }
    read.again()
  }
  if (!can('payload'))
    return (
      <>
        <Head title="Approval" />
        <p>
          Your login does not have the scope payload, so it cannot see what the bot would get, and cannot
          decide here. <a href={href('runs', id)}>The run</a>
        </p>
      </>
    )
  if (shown.value === undefined)
    return error === undefined ? <p class="muted">reading …</p> : <Problem error={error} again={read.again} />
  return (
    <>
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      <Shown
        preview={shown.value}
        changes={newer.value ?? said.value}
        isOld={newer.value !== undefined}
        showNow={showNow}
      />
    </>
  )
}
