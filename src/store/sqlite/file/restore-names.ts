// Names of a restore within a state directory. Both directories of one restore have its time in their names, so that one that was
// killed half way can be recognised and continued.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const workPrefix = 'signalbox.restoring-'

/** Where the copy of a restore is made. */
export function workDirectory(stateDir: string, stamp: string): string {
  return join(stateDir, `${workPrefix}${stamp}`)
}

/** Where a restore moves the old database, under its own names. */
export function asideDirectory(stateDir: string, stamp: string): string {
  return join(stateDir, `before-restore-${stamp}`)
}

/** A time as part of a name, such as 20261126T194012Z; with a number where the name is taken. */
export function freshStamp(stateDir: string, at: number): string {
  const time = new Date(at).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  for (let count = 1; ; count++) {
    const stamp = count === 1 ? time : `${time}-${count}`
    if (!existsSync(workDirectory(stateDir, stamp)) && !existsSync(asideDirectory(stateDir, stamp)))
      return stamp
  }
}

/** The restore that moved the database aside and was killed then, where nothing is in its place: its stamp. */
export function interruptedStamp(stateDir: string): string | undefined {
  return unfinishedStamps(stateDir).findLast(stamp =>
    existsSync(join(asideDirectory(stateDir, stamp), 'signalbox.db')),
  )
}

/** Restores that did not come to their end, by their stamps, oldest first. */
export function unfinishedStamps(stateDir: string): string[] {
  return readdirSync(stateDir)
    .filter(
      name =>
        /^signalbox\.restoring-\d{8}T\d{6}Z(-\d+)?$/.test(name) &&
        statSync(join(stateDir, name)).isDirectory(),
    )
    .map(name => name.slice(workPrefix.length))
    .toSorted()
}
