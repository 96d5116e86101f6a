// signalbox import: what other routers are configured with, as definitions of this one.
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { isNode } from 'yaml'
import type { SecretRef } from '../client/client.ts'
import { applyDefinitions, yamlOf } from './apply.ts'
import { deepest, documentsOf, position, type Origin } from './definition-files.ts'
import { deniedToo, fromOsprey, OspreyError, type Converted } from './osprey.ts'
import { plain } from './output.ts'
import { UsageError, type Session } from './session.ts'

interface Options {
  bot: string
  timezone: string
  token: SecretRef
  workerToken: SecretRef
  apply?: true
  yes?: true
}

function assertTimezone(timezone: string): void {
  try {
    Intl.DateTimeFormat('en-US', { timeZone: timezone })
  } catch {
    throw new UsageError(
      `--timezone must be an IANA name such as Europe/Berlin; found ${JSON.stringify(timezone)}`,
    )
  }
}

/** env:NAME or file:/path. */
function secretArgument(text: string): SecretRef {
  const [, kind, rest] = /^(env|file):(.+)$/s.exec(text) ?? []
  if (kind === undefined)
    throw new UsageError(`a secret must be given as env:NAME or file:PATH; found ${JSON.stringify(text)}`)
  return kind === 'env' ? { env: rest! } : { file: resolve(rest!) }
}

/** Where a path of a value is in its file. */
function placeIn(file: string): { value: unknown; where: (path: string) => string } {
  const { documents, lines } = documentsOf(file)
  const [document, second] = documents
  const { contents } = document ?? {}
  if (document === undefined || !isNode(contents) || second !== undefined)
    throw new UsageError(`${file} must hold one YAML document; found ${documents.length}`)
  const origin: Origin = { file, lines, node: contents }
  return {
    value: document.toJS({ maxAliasCount: 100 }) as unknown,
    where: path => position({ ...origin, node: path === '' ? contents : deepest(contents, path.split('.')) }),
  }
}

async function importOsprey(
  session: Session,
  file: string,
  { bot, timezone, token, workerToken, apply, yes }: Options,
): Promise<void> {
  if (!/^[a-z0-9][a-z0-9._-]{0,63}$/.test(bot))
    throw new UsageError(
      `--bot must be an id of small letters, digits, dots, hyphens and underscores; found ${JSON.stringify(bot)}`,
    )
  assertTimezone(timezone)
  const { value, where } = placeIn(file)
  const tools = await session.environment.toolRules()
  let converted: Converted
  try {
    converted = fromOsprey(value, {
      bot_id: bot,
      timezone,
      intake_token: token,
      worker_token: workerToken,
      tools,
    })
  } catch (error) {
    if (error instanceof OspreyError) throw new UsageError(`${where(error.path)} ${error.message}`)
    throw error
  }
  const { definitions, notes } = converted
  const { output } = session
  const denied = deniedToo({ tools })
  if (output.json && apply !== true)
    return output.line(
      JSON.stringify({ ...definitions, notes: [...notes, { path: 'triggers', text: denied }] }),
    )
  for (const { path, text } of notes) console.error(plain(`${where(path)} ${path} ${text}`))
  if (apply !== true) return output.line(`# ${denied}\n${yamlOf(definitions)}`)
  if (!output.json) output.line(denied)
  return applyDefinitions(session, { ...definitions, file_set: 'osprey' }, { yes })
}

export function addImport(program: Command, session: () => Session): void {
  program
    .command('import')
    .description('what another router is configured with, as definitions of this one')
    .command('osprey <file>')
    .description(
      'an Osprey dispatcher file (triggers.yml): prints what apply takes, and on standard error what is not as it was',
    )
    .option('--bot <id>', 'the worker that runs are sent to, and its queue', 'osprey-worker')
    .option('-z, --timezone <zone>', 'that schedules are read in', 'UTC')
    .option('--token <ref>', 'bearer token of its webhooks: env:NAME or file:PATH', secretArgument, {
      env: 'EVENT_DISPATCHER_TOKEN',
    })
    .option('--worker-token <ref>', 'bearer token of its worker: env:NAME or file:PATH', secretArgument, {
      env: 'DISPATCH_WORKER_TOKEN',
    })
    .option('--apply', 'write it, after showing what that changes')
    .option('-y, --yes', 'do not ask')
    .action((file: string, options: Options) => importOsprey(session(), file, options))
}
