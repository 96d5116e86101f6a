// The newest of a log, newest first, without doubles. Pure: no DOM.

export interface Identified {
  id: string
}

/** Puts what came (oldest first) before what there is (newest first); what has the same id is replaced where it is. most: how many are kept */
export function withLatest<T extends Identified>(shown: readonly T[], came: readonly T[], most: number): T[] {
  const byId = new Map(came.map(each => [each.id, each]))
  const kept = shown.map(each => {
    const newer = byId.get(each.id)
    byId.delete(each.id)
    return newer ?? each
  })
  return [...[...byId.values()].toReversed(), ...kept].slice(0, most)
}

/** Adds an older page behind what there is. */
export function withOlder<T extends Identified>(shown: readonly T[], older: readonly T[]): T[] {
  const known = new Set(shown.map(({ id }) => id))
  return [...shown, ...older.filter(({ id }) => !known.has(id))]
}
