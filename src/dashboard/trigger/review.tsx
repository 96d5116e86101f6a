// What saving would change, before it is saved: the lines, the warnings, and the events of the last days.
import type { JSX } from 'preact'
import { writeJson } from '../json.ts'
import { useLoad } from '../load.ts'
import { Button, Lamp, Problem } from '../parts/basic.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { call } from '../rpc.ts'
import { oneLine } from '../text.ts'
import { Difference } from './difference.tsx'
import { Verdict } from './dry-run.tsx'
import type { Editor } from './editor.ts'

interface ReviewProps {
  editor: Editor
  close: () => void
  save: () => void
  /** Why it cannot be saved. */
  hindrance: string | undefined
}

export function Review({ editor, close, save, hindrance }: ReviewProps): JSX.Element {
  const { text, base, version, read } = editor
  const draft = read.value
  const checked = useLoad(
    abort =>
      call(
        'trigger.put',
        { trigger: (draft as typeof draft & { ok: true }).trigger, version: version.value, dry_run: true },
        abort,
      ),
    draft.ok ? text.value : undefined,
  )
  const { value, error } = checked.value
  return (
    <Dialog
      title={
        version.value === 0 ? 'Review the new trigger' : `Review the changes to version ${version.value}`
      }
      close={close}
      class="dialog-wide"
    >
      <div class="stack">
        {error === undefined ? null : <Problem error={error} />}
        {value === undefined && error === undefined ? (
          <p class="muted">trying it on the events of the last 7 days …</p>
        ) : null}
        {value?.warnings?.map(warning => (
          <p key={warning} class="small">
            <Lamp kind="caution">warning</Lamp> {oneLine(warning, 600)}
          </p>
        ))}
        {value === undefined ? null : (
          <>
            {value.warnings === undefined ? <p class="small muted">No warnings.</p> : null}
            {value.backtest === undefined ? null : (
              <>
                <h3>Events of the last 7 days</h3>
                <Verdict report={value.backtest} />
              </>
            )}
          </>
        )}
        <h3>Lines that change</h3>
        <Difference
          label="Lines that change"
          before={version.value === 0 ? '' : base.value}
          after={draft.ok ? writeJson(draft.trigger) : text.value}
        />
        <div class="dialog-actions">
          <Button onClick={close}>Close</Button>
          <Button
            look="primary"
            scope="write"
            disabled={hindrance !== undefined || value === undefined}
            onClick={() => {
              close()
              save()
            }}
            {...(hindrance === undefined ? {} : { title: hindrance })}
          >
            {version.value === 0 ? 'Create' : 'Save'}
          </Button>
        </div>
      </div>
    </Dialog>
  )
}
