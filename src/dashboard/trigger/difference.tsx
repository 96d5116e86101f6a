// The difference of two texts, as lines with signs.
import type { JSX } from 'preact'
import { visible } from '../text.ts'
import { diffLines, type DiffLine } from './diff.ts'

const signs: Record<DiffLine['kind'], string> = { same: ' ', added: '+', removed: '−' }

export function Difference({
  before,
  after,
  label,
}: {
  before: string
  after: string
  label: string
}): JSX.Element {
  const lines = diffLines(before, after)
  if (lines.every(({ kind }) => kind === 'same')) return <p class="muted small">They are the same.</p>
  return (
    <pre class="surface diff" aria-label={label} role="region" tabIndex={0}>
      {lines.map(({ kind, text }, index) => (
        <span key={index} class={`diff-line diff-${kind}`}>
          {signs[kind]} {visible(text)}
          {'\n'}
        </span>
      ))}
    </pre>
  )
}
