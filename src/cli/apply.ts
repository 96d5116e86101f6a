// signalbox apply and export: definitions as files. The plan is shown before it is done.
import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { Document, Scalar, visit, type ScalarTag } from 'yaml'
import {
  RpcError,
  type PlannedChange,
  type RouterApplyParams,
  type RouterExportResult,
} from '../client/client.ts'
import { isRaw, type RawNumber } from '../exact-json.ts'
import { isRisky, plainYaml } from '../terminal-text.ts'
import { readDefinitions, type DefinitionFiles } from './definition-files.ts'
import { paint, plain, printWarnings, shortened, type Output } from './output.ts'
import { NoError, UsageError, type Session } from './session.ts'

const signs = { created: '+', updated: '~', unchanged: '=', deleted: '-' } as const
const styles = { created: 'green', updated: 'yellow', unchanged: 'dim', deleted: 'red' } as const

function shownValue(value: unknown): string {
  return value === undefined ? '(nothing)' : shortened(JSON.stringify(value), 80)
}

function printPlan(output: Output, changes: readonly PlannedChange[]): void {
  if (output.json) {
    for (const change of changes) output.line(JSON.stringify(change))
    return
  }
  for (const { noun, id, change, fields = [], tried, untried, taken_from } of changes) {
    if (change === 'unchanged' && taken_from === undefined) continue
    const log =
      tried === undefined
        ? ''
        : `  +${tried.added} −${tried.removed} of ${tried.more ? 'the newest ' : ''}${tried.scanned} events in 7 days`
    output.line(`${paint(output, styles[change], signs[change])} ${noun} ${id}${log}`)
    if (untried !== undefined) output.line(`    not tried on the log: ${plain(untried)}`)
    if (taken_from !== undefined) output.line(`    taken over from ${plain(taken_from)}`)
    for (const { path, before, after } of fields)
      output.line(`    ${plain(path)}: ${shownValue(before)} → ${shownValue(after)}`)
  }
  const count = (kind: PlannedChange['change']): number =>
    changes.filter(({ change }) => change === kind).length
  output.line(
    `${count('created')} created, ${count('updated')} changed, ${count('deleted')} deleted, ${count('unchanged')} unchanged`,
  )
}

/** Adds the place in the files to what the router says of a path. */
function located(error: unknown, { where }: DefinitionFiles): unknown {
  if (!(error instanceof RpcError) || typeof error.data?.path !== 'string') return error
  const place = where(error.data.path)
  return place === undefined ? error : new UsageError(`${place} ${error.message}`)
}

async function agreed(): Promise<boolean> {
  const asking = createInterface({ input: process.stdin, output: process.stderr })
  const gone = new AbortController()
  asking.once('close', () => gone.abort())
  try {
    return /^y(es)?$/i.test((await asking.question('do it? [y/N] ', { signal: gone.signal })).trim())
  } catch {
    // Ctrl-C and Ctrl-D are a no.
    return false
  } finally {
    asking.close()
  }
}

interface Options {
  file: string[]
  dryRun?: true
  prune?: true
  set?: string
  yes?: true
}

/** Shows what would change, asks where a person is there, and writes it. Throws NoError where nothing was written. */
export async function applyDefinitions(
  session: Session,
  params: RouterApplyParams,
  { dryRun, yes }: Pick<Options, 'dryRun' | 'yes'>,
): Promise<void> {
  const { changes, ...noted } = await session.call('router.apply', { ...params, dry_run: true })
  printPlan(session.output, changes)
  printWarnings(noted)
  if (dryRun === true) return
  const moves = changes.some(({ change, taken_from }) => change !== 'unchanged' || taken_from !== undefined)
  const deletes = changes.some(({ change }) => change === 'deleted')
  if (moves && yes !== true && process.stdin.isTTY && !(await agreed()))
    throw new NoError('nothing was written')
  if (deletes && yes !== true && !process.stdin.isTTY)
    throw new NoError(
      'it would delete something; say --yes to have that done without being asked. Nothing was written',
    )
  const expected = changes.map(({ noun, id, version }) => ({ noun, id, version }))
  await session.call('router.apply', { ...params, expected })
  if (moves && !session.output.json) session.output.line('done')
}

async function apply(session: Session, { file, prune, set, ...options }: Options): Promise<void> {
  const files = readDefinitions(file)
  if (files.files.length === 0 && prune !== true)
    throw new UsageError(
      `${file.join(', ')}: there is no .yaml, .yml or .json file; with --prune all that came from there is deleted`,
    )
  const file_set = set ?? files.name
  if (prune === true && file_set === undefined)
    throw new UsageError('--prune needs to know what the files are known by: say --set')
  try {
    await applyDefinitions(
      session,
      { ...files.definitions, ...(file_set === undefined ? {} : { file_set }), prune: prune === true },
      options,
    )
  } catch (error) {
    throw located(error, files)
  }
}

/** Numbers that keep their digits, in YAML. */
const rawNumbers: ScalarTag = {
  tag: 'tag:yaml.org,2002:float',
  default: true,
  identify: isRaw,
  resolve: text => text,
  createNode: (_schema, value) => new Scalar(value),
  stringify: ({ value }) => (value as RawNumber).rawJSON,
}

/** Definitions as a file has them. */
export function yamlOf(definitions: RouterExportResult): string {
  const given = Object.fromEntries(
    Object.entries(definitions).filter(([, list]) => (list as unknown[]).length > 0),
  )
  if (Object.keys(given).length === 0) return ''
  const document = new Document(given, { aliasDuplicateObjects: false, customTags: [rawNumbers] })
  // Only double-quoted texts can have escapes.
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value === 'string' && isRisky(node.value)) node.type = 'QUOTE_DOUBLE'
    },
  })
  // The line break that output adds again; one more may be part of a text at the end.
  return plainYaml(document.toString({ lineWidth: 0 })).replace(/\n$/, '')
}

export function addApply(program: Command, session: () => Session): void {
  program
    .command('apply')
    .description(
      'write the bots, queues, sources and triggers of YAML or JSON files, all or none, after showing what that changes',
    )
    .requiredOption(
      '-f, --file <path...>',
      'a file, or a directory with all .yaml, .yml and .json files below it; again for more',
    )
    .option(
      '--dry-run',
      'only show what it would change, and what of the last 7 days triggers would have matched',
    )
    .option('--prune', 'delete what was applied from the same files before and is gone from them')
    .option('--set <name>', 'what these files are known by; default: their full path')
    .option('-y, --yes', 'do not ask')
    .action((options: Options) => apply(session(), options))
  program
    .command('export')
    .description('everything that is defined, as a file that apply takes')
    .option('--set <name>', 'only what was applied from these files')
    .action(async ({ set }: { set?: string }) => {
      const { output } = session()
      const all = await session().call('router.export', { file_set: set })
      const text = output.json ? JSON.stringify(all) : yamlOf(all)
      if (text !== '') output.line(text)
    })
}
