// The command palette: every screen and every action of the current one, by name; and things by id.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { Dialog } from './parts/dialog.tsx'
import { actions } from './parts/keys.ts'
import { go, href } from './router.ts'
import { screens } from './screens.ts'

interface Entry {
  text: string
  keys?: string
  act: () => void
}

const idShape = /^[0-9a-f-]{6,36}$/

function entriesFor(text: string): Entry[] {
  const wanted = text.trim().toLowerCase()
  const open = screens.map(({ title, path, key }) => ({
    text: `Open ${title}`,
    keys: `g ${key}`,
    act: () => go(href(path)),
  }))
  const own = actions.value
    .filter(({ keys }) => !keys.startsWith('g ') && !keys.startsWith('mod '))
    .map(({ what, keys, act }) => ({ text: what, keys, act }))
  const found = [...own, ...open].filter(entry =>
    wanted.split(/\s+/).every(word => entry.text.toLowerCase().includes(word)),
  )
  const search: Entry[] =
    wanted === ''
      ? []
      : [
          ...(idShape.test(wanted)
            ? [
                { text: `Event ${wanted}`, act: () => go(href('events', wanted)) },
                { text: `Run ${wanted}`, act: () => go(href('runs', wanted)) },
              ]
            : []),
          { text: `Events of thread ${text.trim()}`, act: () => go(href('events', { thread: text.trim() })) },
          { text: `Events of type ${text.trim()}`, act: () => go(href('events', { type: text.trim() })) },
          { text: `Trigger ${text.trim()}`, act: () => go(href('triggers', text.trim())) },
        ]
  return [...found, ...search]
}

export function Palette({ close }: { close: () => void }): JSX.Element {
  const text = useSignal('')
  const chosen = useSignal(0)
  const entries = entriesFor(text.value)
  const at = Math.min(chosen.value, entries.length - 1)
  const run = (entry: Entry | undefined): void => {
    if (entry === undefined) return
    close()
    entry.act()
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    if (event.key === 'Enter') run(entries[at])
    else if (by !== 0) chosen.value = Math.max(0, Math.min(entries.length - 1, at + by))
    else return
    event.preventDefault()
  }
  return (
    <Dialog title="Search or run a command" close={close} class="palette">
      <input
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={at >= 0 ? `palette-${at}` : undefined}
        aria-label="Search or run a command"
        placeholder="Screen, action, thread, event or run id"
        onInput={event => {
          text.value = event.currentTarget.value
          chosen.value = 0
        }}
        onKeyDown={onKeyDown}
      />
      <ul id="palette-list" role="listbox" aria-label="Commands">
        {entries.map((entry, index) => (
          <li
            key={entry.text}
            id={`palette-${index}`}
            role="option"
            aria-selected={index === at}
            onClick={() => run(entry)}
          >
            <span>{entry.text}</span>
            {entry.keys === undefined ? null : <kbd>{entry.keys}</kbd>}
          </li>
        ))}
      </ul>
    </Dialog>
  )
}

export function Help({ close }: { close: () => void }): JSX.Element {
  return (
    <Dialog title="Keys" close={close}>
      <dl class="help">
        {[...actions.value].map(({ keys, what }) => (
          <>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </>
        ))}
      </dl>
    </Dialog>
  )
}
