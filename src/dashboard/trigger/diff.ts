// The difference of two texts, line by line. Pure: no DOM.

export interface DiffLine {
  kind: 'same' | 'added' | 'removed'
  text: string
}

/** Lines for which the longest common sequence is looked for; more are shown as replaced. */
const mostLines = 2000

/** lengths[i][j]: length of the longest common sequence of a from i and b from j */
function commonLengths(a: readonly string[], b: readonly string[]): Uint16Array[] {
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1))
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      lengths[i]![j] =
        a[i] === b[j] ? lengths[i + 1]![j + 1]! + 1 : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!)
  return lengths
}

export function diffLines(before: string, after: string): DiffLine[] {
  const [a, b] = [before.split('\n'), after.split('\n')]
  const all = (lines: string[], kind: DiffLine['kind']): DiffLine[] => lines.map(text => ({ kind, text }))
  if (Math.max(a.length, b.length) > mostLines) return [...all(a, 'removed'), ...all(b, 'added')]
  const lengths = commonLengths(a, b)
  const found: DiffLine[] = []
  let [i, j] = [0, 0]
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      found.push({ kind: 'same', text: a[i]! })
      i++
      j++
    } else if (lengths[i + 1]![j]! >= lengths[i]![j + 1]!) found.push({ kind: 'removed', text: a[i++]! })
    else found.push({ kind: 'added', text: b[j++]! })
  }
  return [...found, ...all(a.slice(i), 'removed'), ...all(b.slice(j), 'added')]
}
