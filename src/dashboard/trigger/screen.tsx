// The editor of a trigger: a form and code over one document, tried against the log before it is saved.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import type { Trigger, TriggerInput } from '../../contract/types.ts'
import { readJson, writeJson } from '../json.ts'
import { useCall } from '../load.ts'
import { Button, Card, Copy, Head, Lamp, Problem, TabPanel, Tabs } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { useKeys } from '../parts/keys.ts'
import { lazy } from '../parts/lazy.tsx'
import { attempt, toast } from '../parts/toast.tsx'
import { go, href, place, setQuery } from '../router.ts'
import { call, RpcError } from '../rpc.ts'
import { can } from '../session.ts'
import { oneLine, shellQuote } from '../text.ts'
import { TriggerLamp } from '../triggers/lamp.tsx'
import { inputOf, newDraft } from './draft.ts'
import { DryRun } from './dry-run.tsx'
import { Editor } from './editor.ts'
import { Form } from './form.tsx'
import { Versions } from './versions.tsx'
import { yamlText } from './yaml.ts'
import './trigger.css'

const Code = lazy(() => import('./code.tsx'))
const tabs = [
  { name: 'form', title: 'Form' },
  { name: 'code', title: 'Code' },
]

interface Opened {
  /** undefined: it is new */
  trigger: Trigger | undefined
  draft: TriggerInput
  changed: () => void
}

function Editing({ trigger, draft, changed }: Opened): JSX.Element {
  const editor = useMemo(
    () => new Editor(trigger === undefined ? 'new' : `${trigger.id} v${trigger.version}`, draft, trigger === undefined),
    [trigger?.version],
  )
  const problem = useSignal<unknown>(undefined)
  const { query } = place.value
  const chosen = query.get('tab') ?? 'form'
  const { value: read } = editor.read
  const isManaged = trigger?.file_set !== undefined
  const save = async (): Promise<void> => {
    const now = editor.read.peek()
    if (!now.ok || isManaged || !can('write')) return
    problem.value = undefined
    try {
      const { trigger: stored, warnings = [] } = await call('trigger.put', { trigger: now.trigger, version: trigger?.version ?? 0 })
      editor.saved(inputOf(stored))
      toast(`saved as version ${stored.version}`)
      for (const warning of warnings) toast(warning, 'caution')
      if (trigger === undefined) go(href('triggers', stored.id))
      else changed()
    } catch (error) {
      problem.value = error
    }
  }
  useKeys([{ keys: 'mod s', what: 'save', act: () => void save() }])
  const command = `printf %s ${shellQuote(editor.text.value)} | signalbox triggers put -`
  return (
    <div class="split">
      <Card>
        {isManaged ? (
          <p class="banner">
            <span>
              <Lamp kind="held">read-only</Lamp> The files of {oneLine(trigger.file_set!, 60)} manage this trigger: change it there. You can try a draft here
              and copy it.
            </span>
            <Copy text={yamlText({ triggers: [read.ok ? read.trigger : draft] })} what="YAML">
              Copy as YAML
            </Copy>
          </p>
        ) : null}
        {editor.isRestored ? (
          <p class="banner">
            <span>These are changes of before that were not saved.</span>
            <Button onClick={() => editor.setText(writeJson(draft))}>Discard them</Button>
          </p>
        ) : null}
        <div class="card-head">
          <Tabs tabs={tabs} chosen={chosen} choose={name => setQuery({ tab: name })} label="Ways to edit" />
          <div class="actions">
            <Copy text={command} what="command">
              Copy as command
            </Copy>
            <Button
              look="primary"
              scope="write"
              disabled={!read.ok || !editor.isChanged.value || isManaged}
              title={isManaged ? 'files manage it' : 'Ctrl+S'}
              onClick={() => void save()}
            >
              {trigger === undefined ? 'Create' : 'Save'}
            </Button>
          </div>
        </div>
        {problem.value === undefined ? null : <SaveProblem error={problem.value} again={changed} />}
        <TabPanel label={chosen === 'code' ? 'Code' : 'Form'}>
          {chosen === 'code' ? (
            <>
              <Code editor={editor} isReadOnly={false} />
              <p class="muted small">Tab leaves the editor. {read.ok ? '' : `Not JSON: ${read.problem}`}</p>
            </>
          ) : read.ok ? (
            <Form editor={editor} trigger={read.trigger} isNew={trigger === undefined} />
          ) : (
            <p>The document is not JSON, so it cannot be shown as a form: {read.problem}</p>
          )}
        </TabPanel>
      </Card>
      <div class="stack">
        <DryRun editor={editor} event_id={query.get('event') ?? undefined} />
        {trigger === undefined ? null : <Versions trigger={trigger} isReadOnly={isManaged} changed={changed} />}
      </div>
    </div>
  )
}

/** Why it was not saved, with the field; after a conflict, the way to the newer version. */
function SaveProblem({ error, again }: { error: unknown; again: () => void }): JSX.Element {
  const isConflict = error instanceof RpcError && error.data.code === 'E_CONFLICT'
  return (
    <div class="stack">
      <Problem error={error} />
      {isConflict ? (
        <p class="small">
          Someone saved a newer version. Your draft stays here until you load it. <Button onClick={again}>Load the newer version</Button>
        </p>
      ) : null}
    </div>
  )
}

function Existing({ id }: { id: string }): JSX.Element {
  const read = useCall('trigger.get', { trigger_id: id })
  const trigger = read.value.value?.trigger
  if (trigger === undefined) return read.value.error === undefined ? <p class="muted">reading …</p> : <Problem error={read.value.error} again={read.again} />
  const act = (what: string, doIt: () => Promise<unknown>): void => void attempt(what, doIt).then(read.again)
  const { enabled, paused, version } = trigger
  const remove = (): void =>
    confirm(
      { title: `Delete the trigger ${id}?`, text: 'Runs that it has made go on. Events no longer start anything through it.', yes: 'Delete', danger: true },
      () => {
        void attempt(`${id} deleted`, () => call('trigger.delete', { trigger_id: id, version })).then(isDone => isDone && go(href('triggers')))
      },
    )
  return (
    <>
      <Head
        title={id}
        actions={
          <>
            <Button
              scope="operate"
              onClick={() => act(enabled ? 'disabled' : 'enabled', () => call(enabled ? 'trigger.disable' : 'trigger.enable', { trigger_id: id }))}
            >
              {enabled ? 'Disable' : 'Enable'}
            </Button>
            {paused === true ? (
              <Button scope="approve" onClick={() => act('resumed', () => call('trigger.resume', { trigger_id: id }))}>
                Resume
              </Button>
            ) : (
              <Button scope="operate" onClick={() => act('paused: its runs wait', () => call('trigger.pause', { trigger_id: id }))}>
                Pause
              </Button>
            )}
            <a class="button" href={href('runs', { trigger: id })}>
              Runs
            </a>
            <a class="button" href={href('events', { near: id })}>
              Near misses
            </a>
            <Button look="danger" scope="write" disabled={trigger.file_set !== undefined} onClick={remove}>
              Delete
            </Button>
          </>
        }
      >
        trigger, version {version} <TriggerLamp trigger={trigger} />
      </Head>
      <Editing trigger={trigger} draft={inputOf(trigger)} changed={read.again} />
    </>
  )
}

function New(): JSX.Element {
  const { query } = place.value
  const event_id = query.get('event') ?? undefined
  const read = useCall('event.get', event_id === undefined ? undefined : { event_id })
  if (event_id !== undefined && read.value.value === undefined)
    return read.value.error === undefined ? <p class="muted">reading …</p> : <Problem error={read.value.error} again={read.again} />
  const event = read.value.value
  const path = query.get('path')
  const value = query.get('value')
  const draft = newDraft({
    source_id: event?.source_id ?? query.get('source') ?? undefined,
    type: event?.type,
    ...(path === null ? {} : { path: readJson(path) as string[], value: value === null ? null : readJson(value) }),
  })
  return (
    <>
      <Head title="New trigger" />
      <Editing trigger={undefined} draft={draft} changed={() => undefined} />
    </>
  )
}

export default function TriggerScreen({ id }: { id: string }): JSX.Element {
  return id === 'new' ? <New /> : <Existing id={id} />
}
