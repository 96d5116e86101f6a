// The versions of a trigger: who wrote them, what they changed, and the way back.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { AuditEntry, Trigger, TriggerInput, TriggerVersion } from '../../contract/types.ts'
import { writeJson } from '../json.ts'
import { useLoad } from '../load.ts'
import { Button, Card, CopyCommand, Field, Lamp, Problem, Time } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { attempt } from '../parts/toast.tsx'
import { call } from '../rpc.ts'
import { can } from '../session.ts'
import { oneLine, shellQuote } from '../text.ts'
import { authorOf, writingMethods } from './authors.ts'
import { Difference } from './difference.tsx'

/** What the audit log has of calls that write triggers, since then. Only those who may read it: for others there is nothing. */
export function useWriters(key: string, since: number | undefined): readonly AuditEntry[] {
  const read = useLoad(
    async abort => {
      const answers = await Promise.all(
        writingMethods.map(method =>
          call('audit.list', { method, outcome: 'done', since: since!, limit: 500 }, abort),
        ),
      )
      return answers.flatMap(({ entries }) => entries)
    },
    since !== undefined && can('admin') ? `${key} ${since}` : undefined,
  )
  return read.value.value ?? []
}

interface VersionsProps {
  id: string
  /** undefined: it was deleted */
  trigger: Trigger | undefined
  isReadOnly: boolean
  /** whether the editor has changes that going back gives up */
  hasChanges: () => boolean
  /** Called with what going back has made the current version. */
  restored: (trigger: Trigger) => void
}

interface RowProps {
  version: TriggerVersion
  author: string | undefined
  isShown: boolean
  show: () => void
  goBack: (() => void) | undefined
  isReadOnly: boolean
}

function Row({
  version: { version, created_at, present, trigger },
  author,
  isShown,
  show,
  goBack,
  isReadOnly,
}: RowProps): JSX.Element {
  return (
    <li class="actions">
      <Button look="quiet" pressed={isShown} onClick={show}>
        version {version}
      </Button>
      <span>
        <Time at={created_at} />{' '}
        {author === undefined ? null : <span class="small">by {oneLine(author, 60)}</span>}
      </span>
      {present ? <Lamp kind="clear">current</Lamp> : null}
      {trigger === null ? <Lamp kind="stop">damaged</Lamp> : null}
      {goBack === undefined ? null : (
        <Button
          scope="write"
          disabled={isReadOnly}
          label={`Go back to version ${version}`}
          onClick={goBack}
          {...(isReadOnly ? { title: 'files manage this trigger' } : {})}
        >
          Go back
        </Button>
      )}
    </li>
  )
}

/** One version beside another one. */
function Compared({
  versions,
  chosen,
}: {
  versions: readonly TriggerVersion[]
  chosen: number
}): JSX.Element | null {
  const beside = useSignal<number | undefined>(undefined)
  const at = versions.findIndex(({ version }) => version === chosen)
  const others = versions.filter(({ version, trigger }) => version !== chosen && trigger !== null)
  const other =
    others.find(({ version }) => version === beside.value) ??
    others.find(({ version }) => version < chosen) ??
    others[0]
  const text = (trigger: TriggerInput | null | undefined): string => writeJson(trigger ?? null)
  if (at < 0) return null
  return (
    <>
      {other === undefined ? null : (
        <Field label={`What version ${chosen} has, compared with`}>
          <select
            value={other.version}
            onChange={({ currentTarget: { value } }) => (beside.value = Number(value))}
          >
            {others.map(({ version }) => (
              <option key={version} value={version}>
                version {version}
              </option>
            ))}
          </select>
        </Field>
      )}
      <Difference
        label={
          other === undefined ? `Version ${chosen}` : `From version ${other.version} to version ${chosen}`
        }
        before={other === undefined ? '' : text(other.trigger)}
        after={text(versions[at]!.trigger)}
      />
    </>
  )
}

export function Versions({
  id,
  trigger,
  isReadOnly,
  hasChanges,
  restored,
}: VersionsProps): JSX.Element | null {
  const current = trigger?.version
  const read = useLoad(
    abort => call('trigger.versions', { trigger_id: id, limit: 500 }, abort),
    `${id} ${current}`,
  )
  const shown = useSignal<number | undefined>(undefined)
  const { value, error } = read.value
  const versions = value?.versions ?? []
  const writers = useWriters(`${id} ${current}`, versions.at(-1)?.created_at)
  const goBack = (version: number): void =>
    confirm(
      {
        title: current === undefined ? `Bring ${id} back?` : `Go back to version ${version}?`,
        text: `Version ${version} is written again, as a new version.${hasChanges() ? ' The changes that are not saved are lost.' : ''}`,
        yes: current === undefined ? 'Bring it back' : 'Go back',
      },
      () => {
        const expected = current === undefined ? {} : { version: current }
        void attempt(`went back to version ${version}`, async () =>
          restored(
            (await call('trigger.put', { trigger_id: id, from_version: version, ...expected })).trigger,
          ),
        )
      },
    )
  if (trigger === undefined && versions.length === 0) return null
  return (
    <Card title="Versions" more={<CopyCommand command={`signalbox triggers versions ${shellQuote(id)}`} />}>
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      <ul class="versions" tabIndex={0} aria-label="Versions">
        {versions.map(each => (
          <Row
            key={each.version}
            version={each}
            author={authorOf(id, each.created_at, writers)}
            isShown={shown.value === each.version}
            show={() => (shown.value = shown.value === each.version ? undefined : each.version)}
            goBack={each.present || each.trigger === null ? undefined : () => goBack(each.version)}
            isReadOnly={isReadOnly}
          />
        ))}
      </ul>
      {shown.value === undefined ? (
        <p class="muted small">Choose a version to see what it changed.</p>
      ) : (
        <Compared versions={versions} chosen={shown.value} />
      )}
    </Card>
  )
}
