// The command line: one program of many commands, built on the client. serve is handed in, it is the router itself.
import { Command, CommanderError } from 'commander'
import { ConnectionError, RpcError } from '../client/client.ts'
import { exitCodes } from '../errors.ts'
import { fileError, FileError } from '../plain-file.ts'
import { addApply } from './apply.ts'
import { addBacktest } from './backtest.ts'
import { addBots } from './bots.ts'
import { addNotify } from './notify.ts'
import { addDispatch } from './dispatch.ts'
import { addDoctor } from './doctor.ts'
import { addEmit } from './emit.ts'
import { addEvents } from './events.ts'
import { addExplain } from './explain.ts'
import { addForgejo } from './forgejo.ts'
import { addCompletion } from './completion.ts'
import { arrangeHelp } from './help.ts'
import { addImport } from './import.ts'
import { addRegister } from './register.ts'
import { addQueues } from './queues.ts'
import { addReplay } from './replay.ts'
import { addRouter } from './router.ts'
import { addRpc } from './rpc.ts'
import { addRuns } from './runs.ts'
import { plainJson } from '../terminal-text.ts'
import { outputTo, plain, showLocalTimes } from './output.ts'
import { nearestId } from '../nearest-id.ts'
import { NoError, Session, UsageError, type Environment } from './session.ts'
import { addMan } from './man.ts'
import { addRestore, addSalvage } from './salvage.ts'
import { addSources } from './sources.ts'
import { addStatus } from './status.ts'
import { addTest } from './test.ts'
import { addAudit, addTokens } from './tokens.ts'
import { addPage } from './ui.ts'
import { addTriggers } from './triggers.ts'

/** JSON-RPC's code for params that cannot be used. */
const invalidParams = -32602

const serveFlags: [string, string][] = [
  ['--config <file>', 'configuration file (JSON); schemas/config.schema.json has every key'],
  ['--state-dir <path>', 'where the database is kept'],
  ['--intake-address <address>', 'host:port or socket path for webhooks'],
  [
    '--admin-address <address>',
    'host:port or socket path of the admin listener, which starts with the first token',
  ],
  ['--log-level <level>', 'trace, debug, info, warn, error or silent'],
  ['--paused', 'start with dispatching paused: events are taken, runs wait for signalbox resume'],
  ['--demo', 'register a source, three bots and five triggers to try, and print what to paste'],
  [
    '--accept-loss',
    'start although the database lacks what was once written to it (exit code 65 says so); for one start',
  ],
]

export interface ProgramOptions extends Environment {
  version: string
  serve: (flags: Record<string, unknown>) => Promise<never>
}

/** snake_case, as the configuration has its keys. */
function configKeys(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name.replaceAll(/[A-Z]/g, letter => `_${letter.toLowerCase()}`),
      value,
    ]),
  )
}

/**
 * A group with a command of its own when none is named: what is no command of it would be an argument of that one. A misspelled
 * command is said to be one, with the nearest.
 */
function suggestCommands(group: Command): void {
  const usual = group.commands.find(command => command.name() === 'list')
  if (usual === undefined || usual.registeredArguments.length > 0) return
  usual.allowExcessArguments(true)
  usual.hook('preAction', () => {
    const [first] = usual.args
    if (first === undefined) return
    if (group.args[0] === usual.name())
      throw new UsageError(
        `signalbox ${group.name()} list takes no arguments; found ${JSON.stringify(first)}`,
      )
    const nearest = nearestId(
      first,
      group.commands.map(command => command.name()),
    )
    const meant = nearest === undefined ? '' : ` (did you mean ${nearest}?)`
    throw new UsageError(
      `signalbox ${group.name()} has no command ${JSON.stringify(first)}${meant}; signalbox ${group.name()} --help lists them`,
    )
  })
}

export function buildProgram(options: ProgramOptions): { program: Command; close: () => void } {
  const program = new Command('signalbox')
  let opened: Session | undefined
  const session = (): Session => {
    const { json, socket, utc } = program.opts<{ json?: boolean; socket?: string; utc?: boolean }>()
    showLocalTimes(process.stdout.isTTY && json !== true && utc !== true)
    const terminal = process.stdout.isTTY && !options.env.NO_COLOR
    opened ??= new Session(
      outputTo(chunk => void process.stdout.write(chunk), {
        json: json === true,
        terminal,
        pipe: !process.stdout.isTTY,
      }),
      { ...options, socket: socket ?? options.socket },
    )
    return opened
  }
  program
    .description(
      'routes events to bots: every event logged, every decision explained, every matched bot invoked at least once',
    )
    .version(options.version)
    .option('--json', 'one JSON object a line, for programs')
    .option('--utc', 'times in UTC; on a terminal they are local otherwise')
    .option('--socket <path>', 'control socket of the router')
    .exitOverride()
    .configureOutput({ writeErr: text => void process.stderr.write(plain(text, true)) })
  const serve = program.command('serve').description('run the router')
  for (const [flag, text] of serveFlags) serve.option(flag, text)
  serve.action((flags: Record<string, unknown>) =>
    options.serve({ ...configKeys(flags), socket: program.opts<{ socket?: string }>().socket }),
  )
  for (const add of [
    addStatus,
    addEmit,
    addDispatch,
    addRegister,
    addEvents,
    addExplain,
    addTest,
    addBacktest,
    addRuns,
    addReplay,
    addSources,
    addTriggers,
    addBots,
    addNotify,
    addQueues,
    addApply,
    addImport,
    addForgejo,
    addRouter,
    addTokens,
    addAudit,
    addPage,
    addSalvage,
    addRestore,
    addDoctor,
    addRpc,
    addCompletion,
    addMan,
  ])
    add(program, session)
  for (const command of program.commands)
    for (const each of [command, ...command.commands]) each.exitOverride()
  for (const group of program.commands) suggestCommands(group)
  arrangeHelp(program)
  return { program, close: () => opened?.close() }
}

/** What the router says of its methods, as commands. */
function asCommands(text: string): string {
  return text
    .replaceAll(/\bevent\.query\b/g, 'signalbox events')
    .replaceAll(/\bevent\.replay\b/g, 'signalbox replay')
    .replaceAll(/\btrigger\.versions\b/g, 'signalbox triggers versions')
    .replaceAll(/\brouter\.(pause|resume|stats)\b/g, 'signalbox $1')
    .replaceAll(/\b(queue)\.get\b/g, 'signalbox $1s show')
    .replaceAll(
      /\b(source|trigger|bot|run|queue)\.(put|list|enable|disable|cancel|retry|discard|hold|release|approve|deny|pause|resume|skip|drain|undrain|preview|ticks|fire|forget)\b/g,
      'signalbox $1s $2',
    )
}

function hint(error: RpcError): string {
  return typeof error.data?.code === 'string' ? ` (${error.data.code})` : ''
}

/** Runs a command line and answers its exit code. Failures are told on standard error, with what to do next. */
export async function runProgram(argv: readonly string[], options: ProgramOptions): Promise<number> {
  const { program, close } = buildProgram(options)
  const tell = (text: string, code: number, error?: RpcError): number => {
    if (text !== '' && program.opts<{ json?: boolean }>().json === true) {
      console.error(
        plainJson(
          JSON.stringify({
            error: { message: text, ...(error === undefined ? {} : { code: error.code, data: error.data }) },
          }),
        ),
      )
      return code
    }
    if (text !== '') console.error(`signalbox: ${plain(text, true)}`)
    return code
  }
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return exitCodes.ok
  } catch (error) {
    // commander has said already what is wrong; asking for help or the version is not.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    if (error instanceof NoError) return tell(error.message, exitCodes.no)
    if (error instanceof UsageError) return tell(error.message, exitCodes.usage)
    // The router takes it for wrong use as much as this program does: no answer to the question that was asked.
    if (error instanceof RpcError)
      return tell(
        `${asCommands(error.message)}${hint(error)}`,
        error.code === invalidParams ? exitCodes.usage : exitCodes.no,
        error,
      )
    if (error instanceof ConnectionError)
      return tell(
        `${error.message}; start a router with scripts/start or signalbox serve, or see signalbox doctor`,
        exitCodes.ioError,
      )
    // A file that a person named, or one of the state directory: what the system says of it is no bug of this program.
    const { syscall, path } = error as NodeJS.ErrnoException
    if (error instanceof FileError || (syscall !== undefined && path !== undefined))
      return tell(fileError(error, path ?? '', 'used').message, exitCodes.ioError)
    throw error
  } finally {
    close()
  }
}
