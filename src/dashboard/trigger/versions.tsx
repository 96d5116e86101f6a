// The versions of a trigger: what changed, and the way back.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { Trigger } from '../../contract/types.ts'
import { writeJson } from '../json.ts'
import { useCall } from '../load.ts'
import { Button, Card, CopyCommand, Lamp, Problem, Time } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { attempt } from '../parts/toast.tsx'
import { call } from '../rpc.ts'
import { shellQuote, visible } from '../text.ts'
import { diffLines, type DiffLine } from './diff.ts'

const signs: Record<DiffLine['kind'], string> = { same: ' ', added: '+', removed: '−' }

function Diff({ lines }: { lines: readonly DiffLine[] }): JSX.Element {
  return (
    <pre class="surface diff" aria-label="Difference">
      {lines.map(({ kind, text }, index) => (
        <span key={index} class={`diff-line diff-${kind}`}>
          {signs[kind]} {visible(text)}
          {'\n'}
        </span>
      ))}
    </pre>
  )
}

export function Versions({ trigger, isReadOnly, changed }: { trigger: Trigger; isReadOnly: boolean; changed: () => void }): JSX.Element {
  const { id, version: current } = trigger
  const read = useCall('trigger.versions', { trigger_id: id, limit: 100 })
  const shown = useSignal<number | undefined>(undefined)
  const { value, error } = read.value
  const versions = value?.versions ?? []
  const at = versions.findIndex(({ version }) => version === shown.value)
  const rollback = (version: number): void =>
    confirm({ title: `Go back to version ${version}?`, text: `What version ${version} was is written as version ${current + 1}.`, yes: 'Go back' }, () => {
      void attempt(`went back to version ${version}`, () => call('trigger.put', { trigger_id: id, from_version: version, version: current })).then(changed)
    })
  const text = (index: number): string => writeJson(versions[index]?.trigger ?? null)
  return (
    <Card title="Versions" more={<CopyCommand command={`signalbox triggers versions ${shellQuote(id)}`} />}>
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      <ul class="stack">
        {versions.map(({ version, created_at, present, trigger: definition }) => (
          <li key={version} class="actions">
            <Button look="quiet" pressed={shown.value === version} onClick={() => (shown.value = shown.value === version ? undefined : version)}>
              version {version}
            </Button>
            <Time at={created_at} />
            {present ? <Lamp kind="clear">current</Lamp> : null}
            {definition === null ? <Lamp kind="stop">damaged</Lamp> : null}
            {present || definition === null ? null : (
              <Button scope="write" disabled={isReadOnly} label={`Go back to version ${version}`} onClick={() => rollback(version)}>
                Go back
              </Button>
            )}
          </li>
        ))}
      </ul>
      {at < 0 ? (
        <p class="muted small">Choose a version to see what it changed.</p>
      ) : (
        <>
          <h3>{versions[at + 1] === undefined ? `Version ${shown.value}` : `What version ${shown.value} changed`}</h3>
          <Diff lines={diffLines(versions[at + 1] === undefined ? text(at) : text(at + 1), text(at))} />
        </>
      )}
    </Card>
  )
}
