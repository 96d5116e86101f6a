// What the help of each command has beside its options: its group, and an example. test/cli/help.test.ts keeps it complete.
import { Command, type Help, type Option } from 'commander'

/** The commands of the program by what they are for, in the order in which they are shown. */
const groups: Record<string, readonly string[]> = {
  'The router:': ['serve', 'status', 'doctor', 'pause', 'resume', 'stats'],
  'Events and runs:': ['emit', 'dispatch', 'events', 'explain', 'runs', 'replay', 'notify'],
  'Definitions:': [
    'sources',
    'triggers',
    'bots',
    'queues',
    'register',
    'apply',
    'export',
    'import',
    'forgejo',
  ],
  'Access over HTTP:': ['ui', 'logins', 'tokens', 'audit'],
  'Try without effect:': ['test', 'backtest'],
  'The database:': ['backup', 'verify', 'recover', 'restore'],
  'For programs:': ['rpc', 'completion', 'man'],
}

/** By the words of a command: an example to type. */
export const commandExamples: Readonly<Record<string, string>> = {
  serve: 'signalbox serve --intake-address 127.0.0.1:8787',
  status: 'signalbox status --watch',
  doctor: 'signalbox doctor --forgejo-ini /etc/forgejo/app.ini',
  pause: 'signalbox pause --reason "moving the forge"',
  resume: 'signalbox resume',
  stats: 'signalbox stats --since 2h',
  emit: `signalbox emit jobs build --payload '{"ref": "main"}'`,
  dispatch: 'signalbox dispatch implement --payload @plan.json --wait',
  register: 'signalbox register forge.json',
  events: 'signalbox events --since 1h',
  'events list': 'signalbox events list --source forge --unmatched --since 1d',
  'events follow': 'signalbox events follow --source forge',
  'events refused': 'signalbox events refused --since 1d',
  'events show': 'signalbox events show last',
  'events save': 'signalbox events save last samples/push.json',
  explain: 'signalbox explain last deploy-site',
  test: 'signalbox test --file site/',
  backtest: 'signalbox backtest deploy-site --since 7d',
  runs: 'signalbox runs --failed --since 12h',
  'runs list': 'signalbox runs list --failed --since 12h --thread acme/site#12',
  'runs show': 'signalbox runs show last',
  'runs logs': 'signalbox runs logs last --follow',
  'runs follow': 'signalbox runs follow --trigger deploy-site',
  'runs history': 'signalbox runs history last',
  'runs cancel': 'signalbox runs cancel last --reason "wrong branch"',
  'runs hold': 'signalbox runs hold last --reason "after the release"',
  'runs release': 'signalbox runs release last',
  'runs update': `signalbox runs update last --priority 50 --inputs '{"target": "staging"}'`,
  'runs approve': 'signalbox runs approve 01997f3e-5b00-7000-8000-0000000000b1',
  'runs deny': 'signalbox runs deny 01997f3e-5b00-7000-8000-0000000000b1 --reason "not on a Friday"',
  'runs pause': 'signalbox runs pause last',
  'runs resume': 'signalbox runs resume last',
  'runs retry': 'signalbox runs retry --trigger deploy-site --error timeout',
  'runs discard': 'signalbox runs discard --trigger deploy-site',
  replay: 'signalbox replay --since 7d --trigger deploy-site --dry-run',
  notify: 'signalbox notify test people',
  'notify test': 'signalbox notify test people',
  sources: 'signalbox sources',
  'sources list': 'signalbox sources list',
  'sources show': 'signalbox sources show forge',
  'sources put': 'signalbox sources put forge.json',
  'sources delete': 'signalbox sources delete forge',
  'sources enable': 'signalbox sources enable forge',
  'sources disable': 'signalbox sources disable forge',
  'sources preview': "signalbox sources preview '0 0 9 * * mon' --timezone Europe/Berlin",
  'sources ticks': 'signalbox sources ticks monday --outcome skipped',
  'sources fire': 'signalbox sources fire monday',
  'sources forget': 'signalbox sources forget issues 42',
  triggers: 'signalbox triggers',
  'triggers list': 'signalbox triggers list',
  'triggers show': 'signalbox triggers show deploy-site',
  'triggers put': 'signalbox triggers put deploy-site.json --dry-run',
  'triggers versions': 'signalbox triggers versions deploy-site',
  'triggers rollback': 'signalbox triggers rollback deploy-site 3',
  'triggers delete': 'signalbox triggers delete deploy-site',
  'triggers pause': 'signalbox triggers pause deploy-site --reason "the host is down"',
  'triggers resume': 'signalbox triggers resume deploy-site',
  'triggers enable': 'signalbox triggers enable deploy-site',
  'triggers disable': 'signalbox triggers disable deploy-site',
  bots: 'signalbox bots',
  'bots list': 'signalbox bots list',
  'bots show': 'signalbox bots show deployer',
  'bots put': 'signalbox bots put deployer.json',
  'bots delete': 'signalbox bots delete deployer',
  'bots heartbeat': 'signalbox bots heartbeat deployer ready',
  'bots drain': 'signalbox bots drain deployer --reason "an update"',
  'bots undrain': 'signalbox bots undrain deployer',
  'bots enable': 'signalbox bots enable deployer',
  'bots disable': 'signalbox bots disable deployer',
  queues: 'signalbox queues',
  'queues list': 'signalbox queues list',
  'queues show': 'signalbox queues show staging',
  'queues put': 'signalbox queues put staging.json',
  'queues delete': 'signalbox queues delete staging',
  'queues pause': 'signalbox queues pause staging --reason "moving it"',
  'queues resume': 'signalbox queues resume staging',
  'queues skip': 'signalbox queues skip staging acme/site',
  apply: 'signalbox apply --file site/ --dry-run',
  export: 'signalbox export > routes.yaml',
  import: 'signalbox import osprey triggers.yml',
  'import osprey': 'signalbox import osprey triggers.yml --apply',
  forgejo: 'signalbox forgejo check https://forge.example.org acme/site --source forge',
  'forgejo connect': 'signalbox forgejo connect https://forge.example.org acme/site --source forge',
  'forgejo check': 'signalbox forgejo check https://forge.example.org acme/site --source forge',
  'forgejo disconnect': 'signalbox forgejo disconnect https://forge.example.org acme/site --source forge',
  backup: 'signalbox backup /var/backups/signalbox.db',
  verify: 'signalbox verify /var/backups/signalbox.db',
  recover: 'signalbox recover whole.db',
  restore: 'signalbox restore /var/backups/signalbox.db',
  ui: 'signalbox ui --role operator',
  logins: 'signalbox logins',
  'logins list': 'signalbox logins list',
  'logins revoke': 'signalbox logins revoke k3JdP0aZ',
  tokens: 'signalbox tokens',
  'tokens list': 'signalbox tokens list',
  'tokens create': 'signalbox tokens create "the build host" --role worker --bot builder > worker.token',
  'tokens revoke': 'signalbox tokens revoke k3JdP0aZ',
  audit: 'signalbox audit --since 1d --outcome refused',
  rpc: `signalbox rpc run.list '{"dead": true}'`,
  completion: 'source <(signalbox completion bash)',
  man: 'signalbox man | man -l -',
}

/** The words of a command behind the name of the program. */
export function wordsOf(command: Command): string {
  const words: string[] = []
  for (let each: Command | null = command; each?.parent != null; each = each.parent)
    words.unshift(each.name())
  return words.join(' ')
}

/** A command and everything below it, itself first; the help of each group is left out. */
export function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.filter(each => each.name() !== 'help').flatMap(everyCommand)]
}

function optionTerm(option: Option): string {
  return option.mandatory ? `${option.flags} (required)` : option.flags
}

/** Puts commands into groups, marks options that are required, and ends each help with its example. */
export function arrangeHelp(program: Command): void {
  const help: Partial<Help> = { optionTerm, sortSubcommands: false, showGlobalOptions: true }
  for (const command of everyCommand(program)) {
    command.configureHelp(help)
    const example = commandExamples[wordsOf(command)]
    if (example !== undefined) command.addHelpText('after', `\nExample:\n  ${example}`)
  }
  const ofHelp = new Command('help')
    .arguments('[command]')
    .description('the help of a command')
    .helpGroup('For programs:')
  program.addHelpCommand(ofHelp)
  for (const [heading, names] of Object.entries(groups))
    for (const command of program.commands) if (names.includes(command.name())) command.helpGroup(heading)
  program.addHelpText(
    'after',
    '\nExample:\n  signalbox status            what needs you now, with the command that helps\n\nsignalbox COMMAND --help has the options and an example of each command.',
  )
}
