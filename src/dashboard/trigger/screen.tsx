// The editor of a trigger: a form and code over one document, tried against the log before it is saved.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useMemo } from 'preact/hooks'
import type { Trigger } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Button, CopyCommand, Empty, Head, Problem } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { attempt } from '../parts/toast.tsx'
import { go, href, place } from '../router.ts'
import { call, RpcError } from '../rpc.ts'
import { shellQuote } from '../text.ts'
import { TriggerActions } from '../triggers/actions.tsx'
import { TriggerLamp } from '../triggers/lamp.tsx'
import { beginningOf, inputOf, newDraft } from './draft.ts'
import { Editing } from './editing.tsx'
import { Editor } from './editor.ts'
import { LastRuns } from './last-runs.tsx'
import { Versions } from './versions.tsx'
import './trigger.css'

function Delete({
  trigger: { id, version, paused, file_set },
  editor,
}: {
  trigger: Trigger
  editor: Editor
}): JSX.Element {
  const remove = (): void =>
    confirm(
      {
        title: `Delete the trigger ${id}?`,
        text: `Events no longer start anything through it. Runs that it has made go on.${paused === true ? ' Its pause ends: the runs that wait start. Cancel them first if they must not.' : ''}`,
        yes: 'Delete',
        danger: true,
      },
      () => {
        void attempt(`${id} deleted`, () => call('trigger.delete', { trigger_id: id, version })).then(
          isDone => {
            if (!isDone) return
            editor.discard()
            go(href('triggers'))
          },
        )
      },
    )
  const isManaged = file_set !== undefined
  return (
    <Button
      look="danger"
      scope="write"
      disabled={isManaged}
      onClick={remove}
      {...(isManaged ? { title: 'files manage this trigger' } : {})}
    >
      Delete
    </Button>
  )
}

function Existing({ trigger, again }: { trigger: Trigger; again: () => void }): JSX.Element {
  const { id, version, file_set } = trigger
  const editor = useMemo(() => new Editor(id, inputOf(trigger), version), [])
  useEffect(() => editor.offer(trigger), [version])
  return (
    <>
      <Head
        title={id}
        actions={
          <>
            <TriggerActions
              trigger={trigger}
              done={changed => {
                editor.rebase(changed)
                again()
              }}
            />
            <a class="button" href={href('runs', { trigger: id })}>
              Runs
            </a>
            <a class="button" href={href('events', { near: id })}>
              Near misses
            </a>
            <CopyCommand command={`signalbox triggers show ${shellQuote(id)}`} />
            <Delete trigger={trigger} editor={editor} />
          </>
        }
      >
        trigger, version {version} <TriggerLamp trigger={trigger} />
      </Head>
      <Editing editor={editor} trigger={trigger} changed={again}>
        <LastRuns id={id} />
        <Versions
          id={id}
          trigger={trigger}
          isReadOnly={file_set !== undefined}
          hasChanges={() => editor.isChanged.peek()}
          restored={restored => {
            editor.load(restored)
            again()
          }}
        />
      </Editing>
    </>
  )
}

/** A trigger that was deleted may still have its versions. */
function Missing({ id, again }: { id: string; again: () => void }): JSX.Element {
  return (
    <>
      <Head title={id} />
      <Empty title={`There is no trigger ${id}`}>
        <p>
          If it was deleted, its versions are kept for a while and shown here.{' '}
          <a href={href('triggers')}>Show all triggers</a>
        </p>
      </Empty>
      <Versions id={id} trigger={undefined} isReadOnly={false} hasChanges={() => false} restored={again} />
    </>
  )
}

function Stored({ id }: { id: string }): JSX.Element {
  const read = useCall('trigger.get', { trigger_id: id }, { every: 30_000 })
  const { value, error } = read.value
  if (value !== undefined) return <Existing trigger={value.trigger} again={read.again} />
  if (error === undefined) return <p class="muted">reading …</p>
  if (error instanceof RpcError && error.data.code === 'E_NOT_FOUND')
    return <Missing id={id} again={read.again} />
  return <Problem error={error} again={read.again} />
}

function New(): JSX.Element {
  // What the draft begins with; the address may change while it is edited.
  const { value: beginning } = useSignal(beginningOf(place.value.query))
  const { event_id } = beginning
  const read = useCall('event.get', event_id === undefined ? undefined : { event_id })
  const { value: event, error } = read.value
  if (event_id !== undefined && event === undefined)
    return error === undefined ? <p class="muted">reading …</p> : <Problem error={error} again={read.again} />
  return (
    <>
      <Head title="New trigger" />
      <NewEditing
        {...beginning}
        {...(event === undefined ? {} : { source_id: event.source_id, type: event.type })}
      />
    </>
  )
}

function NewEditing(beginning: Parameters<typeof newDraft>[0]): JSX.Element {
  const editor = useMemo(() => new Editor(`new ${JSON.stringify(beginning)}`, newDraft(beginning), 0), [])
  return <Editing editor={editor} trigger={undefined} changed={({ id }) => go(href('triggers', id))} />
}

export default function TriggerScreen({ id }: { id: string }): JSX.Element {
  return id === 'new' ? <New /> : <Stored key={id} id={id} />
}
