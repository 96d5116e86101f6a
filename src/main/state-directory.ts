// The state directory: made, ours alone, and without surprises in the places of our files.
import { lstatSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ExitError, exitCodes } from '../errors.ts'
import { makeDirectory } from '../paths.ts'
import { assertDirectory, assertPlainFile, fileError } from '../plain-file.ts'

/** The state directory holds payloads: it is ours alone. */
export function prepareStateDir(path: string): void {
  try {
    makeDirectory(path)
  } catch (error) {
    throw new ExitError(
      exitCodes.permissions,
      `the state directory ${path} cannot be made (${(error as NodeJS.ErrnoException).code}); set SIGNALBOX_STATE_DIR to one that can`,
    )
  }
  const { mode, uid } = atPath(() => statSync(path), path)
  atPath(() => assertDirectory(path), path)
  if (uid !== process.getuid!()) throw new ExitError(exitCodes.permissions, `${path} belongs to another user`)
  if ((mode & 0o077) !== 0)
    throw new ExitError(exitCodes.permissions, `${path} is open to others; chmod 700 it`)
  // Reading a FIFO in the place of one of them would block the start.
  for (const name of ownFiles) {
    const file = join(path, name)
    if (lstatSync(file, { throwIfNoEntry: false }) !== undefined) atPath(() => assertPlainFile(file), file)
  }
}

/** Files that the store reads at a start, where they exist. */
const ownFiles = [
  'signalbox.db',
  'signalbox.db-wal',
  'signalbox.db-shm',
  'signalbox.db-journal',
  'signalbox.high',
  'router.lock',
]

/** An answer of the file system. Throws ExitError 74 with a sentence that names the path. */
function atPath<T>(ask: () => T, path: string): T {
  try {
    return ask()
  } catch (error) {
    throw new ExitError(exitCodes.ioError, fileError(error, path).message)
  }
}
