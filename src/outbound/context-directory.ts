// Context files as a directory of their own for one child process: fresh, private, and gone with it.
import { constants } from 'node:fs'
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { nameRefusal, type ContextFileBytes } from '../context-files.ts'

const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

export interface ContextDirectory {
  path: string
  remove: () => Promise<void>
}

/** Writes files below a root, which is made where it is not there. Throws what the file system throws, and for a name that is no plain one. */
export async function contextDirectory(
  root: string,
  files: readonly ContextFileBytes[],
): Promise<ContextDirectory> {
  await mkdir(root, { recursive: true, mode: 0o700 })
  const own = await mkdtemp(join(root, 'run-'))
  const remove = (): Promise<void> => rm(own, { recursive: true, force: true })
  try {
    const path = join(own, 'trigger-context')
    await mkdir(path, { mode: 0o700 })
    for (const { name, content } of files) {
      // They were checked when they came; here it is the last moment to be wrong.
      if (nameRefusal(name) !== undefined) throw new Error(`${JSON.stringify(name)} is no plain file name`)
      const file = await open(join(path, name), flags, 0o600)
      try {
        await file.writeFile(content)
      } finally {
        await file.close()
      }
    }
    return { path, remove }
  } catch (error) {
    await remove()
    throw error
  }
}
