// Context files from the command line, and who caused what a command within a run says.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Command } from 'commander'
import type { Causation, ContextFileInput } from '../client/client.ts'
import { contextFiles, type ContextFileGiven } from '../context-files.ts'
import { UsageError, type Environment } from './session.ts'

export interface ContextOptions {
  contextFile: string[]
  contextDir?: string
}

export function contextOptions(command: Command): Command {
  const collect = (value: string, before: string[]): string[] => [...before, value]
  return command
    .option('--context-file <name=path>', 'a file that goes along, again for more; the name may be left out', collect, [])
    .option('--context-dir <dir>', 'every file of a directory goes along, without what is below it')
}

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function readContext(name: string, path: string): ContextFileGiven {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw new UsageError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  try {
    return { name, content: strictText.decode(bytes) }
  } catch {
    return { name, content: bytes.toString('base64'), encoding: 'base64' }
  }
}

function filesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
      .toSorted()
      .filter(name => statSync(join(directory, name)).isFile())
  } catch (error) {
    throw new UsageError(`${directory} is no directory that can be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** The files that the options name, read; undefined: none. The router would refuse what is refused here. */
export function givenFiles({ contextFile, contextDir }: ContextOptions): ContextFileInput[] | undefined {
  const given = contextFile.map(text => {
    const at = text.indexOf('=')
    return at === -1 ? readContext(basename(text), text) : readContext(text.slice(0, at), text.slice(at + 1))
  })
  if (contextDir !== undefined) given.push(...filesOf(contextDir).map(name => readContext(name, join(contextDir, name))))
  if (given.length === 0) return undefined
  const checked = contextFiles(given)
  if ('files' in checked) return given
  const { index, reason } = checked.refusal
  throw new UsageError(`${index === undefined ? 'the context' : `context file ${JSON.stringify(given[index]!.name)}`} ${reason}`)
}

/** Within a run of a command bot: that run, as the cause of what is emitted. */
export function causationOf({ env }: Environment): Causation | undefined {
  const { SIGNALBOX_RUN_ID: run_id, SIGNALBOX_EVENT_ID: event_id, SIGNALBOX_DEPTH: depth } = env
  return run_id === undefined || event_id === undefined || depth === undefined ? undefined : { run_id, event_id, depth: Number(depth) }
}
