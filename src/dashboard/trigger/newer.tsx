// A version that was stored while the draft was changed: whose it is, how it differs, and what to do.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { Trigger } from '../../contract/types.ts'
import { writeJson } from '../json.ts'
import { Ago, Button, Lamp } from '../parts/basic.tsx'
import { toast } from '../parts/toast.tsx'
import { oneLine } from '../text.ts'
import { authorOf } from './authors.ts'
import { Difference } from './difference.tsx'
import { inputOf } from './draft.ts'
import type { Editor } from './editor.ts'
import { useWriters } from './versions.tsx'

export function Newer({ editor, newer }: { editor: Editor; newer: Trigger }): JSX.Element {
  const { value: read } = editor.read
  const isCompared = useSignal(false)
  const writers = useWriters(`${newer.id} ${newer.version}`, newer.updated_at)
  const author = authorOf(newer.id, newer.updated_at, writers)
  const rebase = (): void => {
    const both = editor.rebase(newer)
    if (both.length > 0) toast(`both changed ${both.join(', ')}: your values are kept`, 'caution')
    else toast(`your changes are now on top of version ${newer.version}`)
  }
  return (
    <div class="newer" role="alert">
      <p>
        <Lamp kind="caution">version {newer.version} is newer</Lamp> It was saved{' '}
        {author === undefined ? '' : `by ${oneLine(author, 60)} `}
        <Ago at={newer.updated_at} />. Your draft began with version {editor.version.value}.
      </p>
      <div class="actions">
        <Button pressed={isCompared.value} onClick={() => (isCompared.value = !isCompared.value)}>
          Compare
        </Button>
        <Button disabled={!read.ok} onClick={rebase}>
          Put my changes on top
        </Button>
        <Button look="danger" onClick={() => editor.load(newer)}>
          Discard mine, load version {newer.version}
        </Button>
      </div>
      {isCompared.value ? (
        <Difference
          label={`From version ${newer.version} to the draft`}
          before={writeJson(inputOf(newer))}
          after={read.ok ? writeJson(read.trigger) : editor.text.value}
        />
      ) : null}
    </div>
  )
}
