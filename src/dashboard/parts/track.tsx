// Time runs to the right: marks and segments on a track.
import type { ComponentChildren, JSX } from 'preact'
import type { LampKind } from './lamp-kind.ts'

export interface Mark {
  /** from 0 to 1 */
  at: number
  /** of a segment: where it ends */
  until?: number
  kind: LampKind
  /** what it is, for its title and for screen readers */
  text: string
  href?: string
}

/** A track with marks. What a mark says is also in the text that screen readers are given. */
export function Track({
  marks,
  label,
  tall = false,
}: {
  marks: Mark[]
  label: string
  tall?: boolean
}): JSX.Element {
  return (
    <span class={tall ? 'track track-tall' : 'track'} role="img" aria-label={label}>
      {marks.map((mark, at) => (
        <MarkShape key={at} mark={mark} />
      ))}
    </span>
  )
}

function MarkShape({ mark: { at, until, kind, text } }: { mark: Mark }): JSX.Element {
  const setPlace = (element: HTMLElement | null): void => {
    element?.style.setProperty('--at', String(at))
    element?.style.setProperty('--width', String(until === undefined ? 0 : Math.max(0, until - at)))
  }
  return (
    <i class={`mark mark-${kind} ${until === undefined ? '' : 'mark-segment'}`} title={text} ref={setPlace} />
  )
}

/** A line of a table whose middle is a track. */
export function Lane({
  name,
  children,
  more,
}: {
  name: ComponentChildren
  children: ComponentChildren
  more: ComponentChildren
}): JSX.Element {
  return (
    <div class="lane">
      <span class="lane-name">{name}</span>
      {children}
      <span class="lane-more figure">{more}</span>
    </div>
  )
}

/** Where a time is between two others, from 0 to 1. */
export function share(at: number, from: number, until: number): number {
  return until <= from ? 0 : Math.min(1, Math.max(0, (at - from) / (until - from)))
}
