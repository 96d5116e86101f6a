// Context files from the command line, and who caused what a command within a run says.
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Command } from 'commander'
import type { Causation, ContextFileInput } from '../client/client.ts'
import { contextFiles, maxContextFileBytes, type ContextFileGiven } from '../context-files.ts'
import { fileError } from '../plain-file.ts'
import { namedFile, UsageError, type Environment } from './session.ts'

export interface ContextOptions {
  contextFile: string[]
  contextDir?: string
}

export function contextOptions(command: Command): Command {
  const collect = (value: string, before: string[]): string[] => [...before, value]
  return command
    .option(
      '--context-file <name=path>',
      'a file that goes along, again for more; the name may be left out',
      collect,
      [],
    )
    .option(
      '--context-dir <dir>',
      'every file of a directory goes along, without what is below it; symlinks are refused',
    )
}

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** follow: whether a symlink may lead to the bytes. */
function readContext(name: string, path: string, follow: boolean): ContextFileGiven {
  const bytes = namedFile(path, maxContextFileBytes, follow)
  try {
    return { name, content: strictText.decode(bytes) }
  } catch {
    return { name, content: bytes.toString('base64'), encoding: 'base64' }
  }
}

/**
 * The files of a directory, which may be one that others write to: a symlink in it would send a file from elsewhere, such
 * as a key, to wherever the event goes. So it is refused, as is everything else that is no regular file.
 */
function filesOf(directory: string): ContextFileGiven[] {
  let entries
  try {
    entries = readdirSync(directory, { withFileTypes: true })
  } catch (error) {
    throw new UsageError(fileError(error, directory).message)
  }
  const names = entries.filter(entry => !entry.isDirectory()).map(({ name }) => name)
  return names.toSorted().map(name => readContext(name, join(directory, name), false))
}

/** The files that the options name, read; undefined: none. The router would refuse what is refused here. */
export function givenFiles({ contextFile, contextDir }: ContextOptions): ContextFileInput[] | undefined {
  const given = contextFile.map(text => {
    const at = text.indexOf('=')
    return at === -1
      ? readContext(basename(text), text, true)
      : readContext(text.slice(0, at), text.slice(at + 1), true)
  })
  if (contextDir !== undefined) given.push(...filesOf(contextDir))
  if (given.length === 0) return undefined
  const checked = contextFiles(given)
  if ('files' in checked) return given
  const { index, reason } = checked.refusal
  throw new UsageError(
    `${index === undefined ? 'the context' : `context file ${JSON.stringify(given[index]!.name)}`} ${reason}`,
  )
}

/** Within a run of a command bot: that run, as the cause of what is emitted. */
export function causationOf({ env }: Environment): Causation | undefined {
  const { SIGNALBOX_RUN_ID: run_id, SIGNALBOX_EVENT_ID: event_id, SIGNALBOX_DEPTH: depth } = env
  return run_id === undefined || event_id === undefined || depth === undefined
    ? undefined
    : { run_id, event_id, depth: Number(depth) }
}
