// The document of a trigger in the two ways to edit it, with the dry run beside it, and saving.
import { useSignal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Trigger, TriggerPutResult } from '../../contract/types.ts'
import { Button, Card, Copy, Lamp, Problem, TabPanel, Tabs } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { useKeys } from '../parts/keys.ts'
import { lazy } from '../parts/lazy.tsx'
import { toast } from '../parts/toast.tsx'
import { guardLeaving, href, place, setQuery } from '../router.ts'
import { call, messageOf, RpcError } from '../rpc.ts'
import { can } from '../session.ts'
import { oneLine, shellQuote } from '../text.ts'
import { problemPath, valueAt } from './draft.ts'
import { DryRun } from './dry-run.tsx'
import type { Editor } from './editor.ts'
import { commitTyped } from './fields.tsx'
import { Form } from './form.tsx'
import { Newer } from './newer.tsx'
import { Review } from './review.tsx'
import { yamlText } from './yaml.ts'

const Code = lazy(() => import('./code.tsx'))
const tabs = [
  { name: 'form', title: 'Form' },
  { name: 'code', title: 'Code' },
]

/** Asks before the screen is left with changes that are not saved. */
function useGuard(editor: Editor): void {
  useEffect(() => {
    const onUnload = (event: BeforeUnloadEvent): void => {
      if (editor.isChanged.peek()) event.preventDefault()
    }
    addEventListener('beforeunload', onUnload)
    const stop = guardLeaving(leave => {
      commitTyped()
      if (!editor.isChanged.peek()) return false
      confirm(
        {
          title: 'Leave without saving?',
          text: 'The changes of this trigger are not saved.',
          yes: 'Discard them and leave',
          danger: true,
        },
        () => {
          editor.discard()
          leave()
        },
      )
      return true
    })
    return () => {
      stop()
      removeEventListener('beforeunload', onUnload)
    }
  }, [editor])
}

interface Saving {
  save: () => void
  problem: unknown
  /** why it cannot be saved now; undefined: it can */
  hindrance: string | undefined
}

function useSave(editor: Editor, trigger: Trigger | undefined, changed: (trigger: Trigger) => void): Saving {
  /** text: what was refused */
  const problem = useSignal<{ error: unknown; text: string } | undefined>(undefined)
  const isSaving = useSignal(false)
  const hindranceNow = (): string | undefined => {
    if (trigger?.file_set !== undefined) return 'files manage this trigger'
    if (!editor.read.value.ok) return 'the document is not JSON'
    if (trigger !== undefined && !editor.isChanged.value) return 'nothing was changed'
    return isSaving.value ? 'it is being saved' : undefined
  }
  const refused = async (error: unknown): Promise<void> => {
    problem.value = { error, text: editor.text.peek() }
    if (!(error instanceof RpcError)) return
    const path = problemPath(error.data)
    if (path !== '') editor.problem.value = { path, message: messageOf(error) }
    if (error.data.code !== 'E_CONFLICT' || trigger === undefined) return
    const { trigger: newer } = await call('trigger.get', { trigger_id: trigger.id })
    editor.offer(newer)
    changed(newer)
  }
  const save = async (): Promise<void> => {
    commitTyped()
    const read = editor.read.peek()
    if (!read.ok || hindranceNow() !== undefined || !can('write')) return
    const sent = editor.text.peek()
    problem.value = undefined
    isSaving.value = true
    let result: TriggerPutResult | undefined
    try {
      result = await call('trigger.put', { trigger: read.trigger, version: editor.version.peek() })
    } catch (error) {
      await refused(error).catch(() => undefined)
    }
    isSaving.value = false
    if (result === undefined) return
    toast(`saved as version ${result.trigger.version}`)
    for (const warning of result.warnings ?? []) toast(warning, 'caution')
    editor.saved(result.trigger, sent)
    changed(result.trigger)
  }
  const isOld = problem.value?.text !== editor.text.value || editor.newer.value !== undefined
  return {
    save: () => void save(),
    problem: isOld ? undefined : problem.value?.error,
    hindrance: hindranceNow(),
  }
}

/** Why it was not saved. */
function SaveProblem({ error, id }: { error: unknown; id: string | undefined }): JSX.Element {
  const isTaken = id !== undefined && error instanceof RpcError && error.data.code === 'E_CONFLICT'
  return isTaken ? (
    <div class="problem" role="alert">
      <span>
        <Lamp kind="stop">There is a trigger {oneLine(id, 64)} already.</Lamp> Choose another id, or{' '}
        <a href={href('triggers', id)}>open it</a>.
      </span>
    </div>
  ) : (
    <Problem error={error} />
  )
}

function Notices({ editor, trigger }: { editor: Editor; trigger: Trigger | undefined }): JSX.Element {
  const { value: read } = editor.read
  return (
    <>
      {trigger?.file_set === undefined ? null : (
        <p class="banner">
          <span>
            <Lamp kind="held">read-only</Lamp> The files of {oneLine(trigger.file_set, 60)} manage this
            trigger: the next apply would undo a change that is saved here. Try a draft, copy it, and change
            the file.
          </span>
          {read.ok ? (
            <Copy text={yamlText({ triggers: [read.trigger] })} what="YAML">
              Copy as YAML
            </Copy>
          ) : null}
        </p>
      )}
      {editor.isRestored.value ? (
        <p class="banner">
          <span>These changes of an earlier visit were not saved.</span>
          <Button onClick={() => editor.discard()}>Discard them</Button>
        </p>
      ) : null}
      {editor.newer.value === undefined ? null : <Newer editor={editor} newer={editor.newer.value} />}
    </>
  )
}

function Document({ editor, isNew }: { editor: Editor; isNew: boolean }): JSX.Element {
  const { value: read } = editor.read
  if (place.value.query.get('tab') === 'code')
    return (
      <TabPanel label="Code">
        <Code editor={editor} isReadOnly={false} />
        <p class="muted small">
          Tab leaves the editor. {read.ok ? '' : `Not JSON: ${oneLine(read.problem, 200)}`}
        </p>
      </TabPanel>
    )
  return (
    <TabPanel label="Form">
      {read.ok ? (
        <Form editor={editor} trigger={read.trigger} isNew={isNew} />
      ) : (
        <p>The document is not JSON, so it cannot be shown as a form: {oneLine(read.problem, 300)}</p>
      )}
    </TabPanel>
  )
}

interface EditingProps {
  editor: Editor
  /** undefined: it is new */
  trigger: Trigger | undefined
  /** Called with a version that is newer than trigger. */
  changed: (trigger: Trigger) => void
  /** below the dry run */
  children?: ComponentChildren
}

export function Editing({ editor, trigger, changed, children }: EditingProps): JSX.Element {
  const isReviewing = useSignal(false)
  const { save, problem, hindrance } = useSave(editor, trigger, changed)
  const { value: read } = editor.read
  const id = valueAt(read.ok ? read.trigger : {}, ['id'])
  useGuard(editor)
  useKeys([{ keys: 'mod s', what: 'save', act: save }])
  const review = (): void => {
    commitTyped()
    isReviewing.value = editor.read.peek().ok
  }
  return (
    <div class="split">
      <Card>
        <Notices editor={editor} trigger={trigger} />
        <div class="card-head">
          <Tabs
            tabs={tabs}
            chosen={place.value.query.get('tab') ?? 'form'}
            choose={tab => setQuery({ tab })}
            label="Ways to edit"
          />
          <div class="actions">
            {editor.isChanged.value ? <Lamp kind="caution">not saved</Lamp> : null}
            <Copy
              text={`printf %s ${shellQuote(editor.text.value)} | signalbox triggers put -`}
              what="command"
            >
              Copy as command
            </Copy>
            <Button
              scope="write"
              disabled={!read.ok}
              title="Warnings, and what it would change"
              onClick={review}
            >
              Review
            </Button>
            <Button
              look="primary"
              scope="write"
              disabled={hindrance !== undefined}
              title={hindrance ?? 'Ctrl+S'}
              onClick={save}
            >
              {trigger === undefined ? 'Create' : 'Save'}
            </Button>
          </div>
        </div>
        {problem === undefined ? null : (
          <SaveProblem
            error={problem}
            id={trigger === undefined && typeof id === 'string' ? id : undefined}
          />
        )}
        <Document editor={editor} isNew={trigger === undefined} />
      </Card>
      <div class="stack">
        <DryRun editor={editor} isDisabled={trigger?.enabled === false} />
        {children}
      </div>
      {isReviewing.value ? (
        <Review editor={editor} close={() => (isReviewing.value = false)} save={save} hindrance={hindrance} />
      ) : null}
    </div>
  )
}
