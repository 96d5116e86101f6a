// signalbox man: the manual page, made from the commands themselves.
import type { Command, Option } from 'commander'
import { commandExamples, everyCommand, wordsOf } from './help.ts'
import type { Session } from './session.ts'

/** Text as roff takes it: nothing of it is a request or an escape. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^([.'])/gm, '\\&$1')
    .replaceAll(
      /[^\0-\x7f]/gu,
      character => `\\[u${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`,
    )
}

function optionLines(options: readonly Option[]): string[] {
  return options
    .filter(option => !option.hidden)
    .flatMap(({ flags, description, mandatory }) => [
      '.TP',
      `\\fB${roff(flags)}\\fR${mandatory ? ' (required)' : ''}`,
      roff(description),
    ])
}

function commandLines(command: Command): string[] {
  const words = wordsOf(command)
  const example = commandExamples[words]
  const usage = command.registeredArguments
    .map(argument => (argument.required ? ` <${argument.name()}>` : ` [${argument.name()}]`))
    .join('')
  return [
    `.SS "signalbox ${roff(words)}${roff(usage)}"`,
    roff(command.description()),
    ...optionLines(command.options),
    ...(example === undefined ? [] : ['.P', 'Example:', '.P', '.nf', `.RS 4`, roff(example), '.RE', '.fi']),
  ]
}

const exitCodes: [number, string][] = [
  [0, 'Success.'],
  [1, 'The answer is no: for example, a test failed, or the run that was waited for did not complete.'],
  [64, 'Wrong usage.'],
  [65, 'Data is damaged.'],
  [70, 'An internal error.'],
  [73, 'A socket or a file cannot be made.'],
  [74, 'An I/O error; also: no router answers.'],
  [75, 'A router is running already.'],
  [77, 'Permissions.'],
  [78, 'Configuration.'],
]

const environment: [string, string][] = [
  ['SIGNALBOX_SOCKET', 'The control socket of the router.'],
  [
    'SIGNALBOX_STATE_DIR',
    'The directory with the database. Default: $XDG_STATE_HOME/signalbox, or ~/.local/state/signalbox.',
  ],
  ['NO_COLOR', 'No colours on a terminal.'],
  ['TZ', 'The time zone of times on a terminal.'],
]

function manualPage(program: Command): string {
  const list = (entries: [string | number, string][]): string[] =>
    entries.flatMap(([name, text]) => ['.TP', `\\fB${roff(String(name))}\\fR`, roff(text)])
  const commands = everyCommand(program)
    .slice(1)
    .filter(command => commandExamples[wordsOf(command)] !== undefined)
  return [
    `.TH SIGNALBOX 1 "" "signalbox ${roff(program.version()!)}" "User Commands"`,
    '.SH NAME',
    `signalbox \\- ${roff(program.description())}`,
    '.SH SYNOPSIS',
    '\\fBsignalbox\\fR [\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]',
    '.SH OPTIONS',
    ...optionLines(program.options),
    '.SH COMMANDS',
    'A run or an event is named by its id, or by \\fBlast\\fR: the newest one.',
    ...commands.flatMap(commandLines),
    '.SH EXIT STATUS',
    ...list(exitCodes),
    '.SH ENVIRONMENT',
    ...list(environment),
  ].join('\n')
}

export function addMan(program: Command, session: () => Session): void {
  program
    .command('man')
    .description('this manual as a page for man: signalbox man > signalbox.1')
    .action(() => session().output.bytes(Buffer.from(`${manualPage(program)}\n`)))
}
