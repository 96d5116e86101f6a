// One run that waits for a decision: what it would do, and the decision, which is bound to what is shown.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useRef } from 'preact/hooks'
import type { Run, RunPreview } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Ago, Button, Card, CopyCommand, Facts, Head, Lamp, Problem, RunLamp, Since, Untrusted } from '../parts/basic.tsx'
import { useKeys } from '../parts/keys.ts'
import { toast } from '../parts/toast.tsx'
import { Tree } from '../parts/tree.tsx'
import { go, href } from '../router.ts'
import { call, RpcError } from '../rpc.ts'
import { can, session } from '../session.ts'
import { readStatusSoon } from '../status.ts'
import { oneLine, plural } from '../text.ts'
import { beforeText } from './before.ts'
import './approval.css'

type Verb = 'approve' | 'deny'

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
              <Ago at={event.received_at} />
              {run.events === undefined ? '' : `, the last of ${run.events}`}
            </>,
          ],
          ['thread', event.thread === null ? undefined : <Untrusted text={event.thread} />],
          ['subject', event.subject === null ? undefined : <Untrusted text={event.subject} />],
          ['bot', run.bot_id === null ? 'not chosen yet' : <a href={href('bots', run.bot_id)}>{run.bot_id}</a>],
          ['workflow', run.workflow_id],
          ['caused by', run.requested_by],
          ['expires', run.deadline_at === undefined ? 'never: it waits until it is decided' : <Ago at={run.deadline_at} />],
          ['denied before', run.denials],
        ]}
      />
    </Card>
  )
}

function Tools({ preview: { run, allowed_tools, denied_tools = [], allowed_denied_tools = [], context_files = [] } }: { preview: RunPreview }): JSX.Element {
  const listed = (tools: readonly string[]): string => tools.map(tool => oneLine(tool)).join(', ') || 'none'
  return (
    <Card title="Tools">
      <Facts
        of={[
          ['allowed', allowed_tools == null ? 'no list: all but the denied ones' : <code>{listed(allowed_tools)}</code>],
          ['exceptions', allowed_denied_tools.length === 0 ? undefined : <Lamp kind="caution">{listed(allowed_denied_tools)}</Lamp>],
          ['removed', run.cut_tools?.map(({ tool, reason }) => `${oneLine(tool)} (${oneLine(reason)})`).join(', ')],
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

/** Opens the next run that waits, or the inbox. */
async function goOn(decided: string): Promise<void> {
  readStatusSoon()
  const { runs } = await call('run.list', { state: 'awaiting_approval', limit: 10 })
  const next = runs.findLast(({ id }) => id !== decided)
  go(next === undefined ? href('approvals') : href('approvals', next.id))
}

function Decision({ preview, again }: { preview: RunPreview; again: () => void }): JSX.Element {
  const { run, version } = preview
  const reason = useSignal('')
  const busy = useSignal(false)
  const box = useRef<HTMLInputElement>(null)
  /** What a key chose: it takes a second key, or a click, to do it. */
  const asked = useSignal<Verb | undefined>(undefined)
  const decide = async (verb: Verb): Promise<void> => {
    busy.value = true
    try {
      const text = reason.value.trim()
      await call(`run.${verb}`, { run_id: run.id, trigger_version: run.trigger_version, version, ...(text === '' ? {} : { reason: text }) })
      toast(verb === 'approve' ? `approved: ${run.trigger_id}` : `denied: ${run.trigger_id}`)
      await goOn(run.id)
    } catch (error) {
      toast((error as Error).message, 'stop')
      // Something is not as it was shown: it has to be looked at again.
      if (error instanceof RpcError) again()
    }
    busy.value = false
  }
  const ask = (verb: Verb): void => {
    asked.value = verb
    box.current?.focus()
  }
  useKeys([
    { keys: 'a', what: 'approve (Enter confirms)', act: () => ask('approve') },
    { keys: 'd', what: 'deny (Enter confirms)', act: () => ask('deny') },
  ])
  const who = session.value?.principal ?? ''
  return (
    <form
      class="decision-bar"
      onSubmit={event => {
        event.preventDefault()
        if (asked.value !== undefined && can('approve')) void decide(asked.value)
      }}
    >
      <label class="field">
        <span class="field-label">Reason (optional)</span>
        <input ref={box} value={reason.value} maxLength={500} onInput={event => (reason.value = event.currentTarget.value)} />
      </label>
      {asked.value === undefined ? null : (
        <p role="status" class="small">
          Press Enter to {asked.value}.
        </p>
      )}
      <div class="decision-buttons">
        <Button look="danger" scope="approve" disabled={busy.value} onClick={() => void decide('deny')}>
          Deny <kbd>d</kbd>
        </Button>
        <Button look="primary" scope="approve" disabled={busy.value || preview.problem !== undefined} onClick={() => void decide('approve')}>
          Approve <kbd>a</kbd>
        </Button>
      </div>
      <p class="muted small">
        recorded as {who}; caused by {run.requested_by ?? 'a delivery'}. The one who caused a run may not approve it.
      </p>
    </form>
  )
}

export default function ApprovalScreen({ id }: { id: string }): JSX.Element {
  const read = useCall('run.preview', { run_id: id }, { on: message => message.kind === 'run' && message.run.id === id, every: 30_000 })
  const { value: preview, error } = read.value
  if (preview === undefined) return error === undefined ? <p class="muted">reading …</p> : <Problem error={error} again={read.again} />
  const { run, inputs, problem } = preview
  const isWaiting = run.state === 'awaiting_approval'
  return (
    <>
      <Head title={isWaiting ? `Approve ${run.trigger_id}?` : run.trigger_id} actions={<CopyCommand command={`signalbox runs approve ${id}`} />}>
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
          It does not wait for a decision any more. <a href={href('runs', id)}>The run</a> · <a href={href('approvals')}>All approvals</a>
        </p>
      )}
      <div class="split">
        <div class="stack">
          <Subject preview={preview} />
          <Before run={run} />
        </div>
        <div class="stack">
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
          </Card>
          <Tools preview={preview} />
        </div>
      </div>
      {isWaiting ? <Decision preview={preview} again={read.again} /> : null}
    </>
  )
}
