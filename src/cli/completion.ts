// signalbox completion: scripts for shells, which ask the program itself what may come next.
import type { Argument, Command, Option } from 'commander'
import type { Run } from '../client/client.ts'
import { UsageError, type Session } from './session.ts'

/** As long as a person who pressed Tab is kept waiting for a router. */
const mostMs = 800
const mostIds = 100

/** Each hands the words up to the cursor to signalbox complete, the last one unfinished; without an answer the shell offers files. */
const bash = `# bash completion of signalbox. Use: source <(signalbox completion bash)
_signalbox() {
  local cur words cword line
  COMPREPLY=()
  if declare -F _get_comp_words_by_ref >/dev/null; then
    # A colon or = would part words otherwise.
    _get_comp_words_by_ref -n :=@ cur words cword
  else
    cur=\${COMP_WORDS[COMP_CWORD]} words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD
  fi
  while IFS= read -r line; do
    COMPREPLY+=("$line")
  done < <("\${words[0]}" complete -- "\${words[@]:1:cword-1}" "$cur" 2>/dev/null)
  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$cur"; fi
}
complete -o default -F _signalbox signalbox`

const zsh = `#compdef signalbox
# zsh completion of signalbox. Use: source <(signalbox completion zsh), or save it as _signalbox in a directory of $fpath
_signalbox() {
  local line
  local -a found
  for line in "\${(@f)$("\${words[1]}" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -z $line ]] && continue
    # _describe separates the value from its description by a colon.
    found+=("\${line//:/\\\\:}")
  done
  if (( \${#found} )); then
    _describe -V signalbox found
  else
    _files
  fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _signalbox "$@"
else
  compdef _signalbox signalbox
fi`

const fish = `# fish completion of signalbox. Use: signalbox completion fish | source
function __signalbox_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l found ($words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\\n' $found
  else
    __fish_complete_path "$current"
  end
end
complete -c signalbox -f -k -a '(__signalbox_complete)'`

const scripts: Readonly<Record<string, string>> = { bash, zsh, fish }

/** A state that the contract adds, and that is not here, does not compile. */
const states: Readonly<Record<Run['state'], true>> = {
  pending: true,
  held: true,
  awaiting_approval: true,
  assigned: true,
  running: true,
  paused: true,
  completed: true,
  cancelled: true,
  failed: true,
  timed_out: true,
}

type Ids = (session: Session) => Promise<string[]>

const lists: Record<string, Ids> = {
  run: async session => [
    'last',
    ...(await session.call('run.list', { limit: mostIds })).runs.map(({ id }) => id),
  ],
  event: async session => [
    'last',
    ...(await session.call('event.query', { limit: mostIds })).events.map(({ id }) => id),
  ],
  trigger: async session =>
    (await session.call('trigger.list', { limit: mostIds })).triggers.map(({ id }) => id),
  bot: async session => (await session.call('bot.list', { limit: mostIds })).bots.map(({ id }) => id),
  queue: async session => (await session.call('queue.list', { limit: mostIds })).queues.map(({ id }) => id),
  source: async session =>
    (await session.call('source.list', { limit: mostIds })).sources.map(({ id }) => id),
  workflow: async session =>
    (await session.call('source.list', { limit: mostIds, source_type: 'dispatch' })).sources.map(
      ({ id }) => id,
    ),
  method: async session => {
    const { methods } = (await session.call('rpc.discover', {})) as unknown as { methods: { name: string }[] }
    return methods.map(({ name }) => name)
  },
  /** Of runs that wait for a decision; never the last one, which may be another by then. */
  decided: async session =>
    (await session.call('run.list', { limit: mostIds, state: 'awaiting_approval' })).runs.map(({ id }) => id),
  login: async session =>
    (await session.call('login.list', {})).logins
      .filter(({ state }) => state === 'valid')
      .map(({ id }) => id),
  token: async session =>
    (await session.call('token.list', {})).tokens
      .filter(({ state }) => state === 'valid')
      .map(({ id }) => id),
  state: async () => [...Object.keys(states), 'dead'],
  shell: async () => Object.keys(scripts),
}

/** The ids that a value of some name may be; none where there is no router, or it takes too long. */
async function idsOf(name: string, session: () => Session): Promise<string[]> {
  const list = lists[name.replace(/^near$/, 'trigger')]
  if (list === undefined) return []
  const { promise: late, resolve } = Promise.withResolvers<string[]>()
  const timer = setTimeout(() => resolve([]), mostMs)
  try {
    return await Promise.race([list(session()).catch(() => []), late])
  } finally {
    clearTimeout(timer)
  }
}

function takesValue(option: Option | undefined): option is Option {
  return option !== undefined && (option.required || option.optional)
}

interface Place {
  command: Command
  /** arguments that stand before */
  given: number
  /** the option whose value comes next */
  option: Option | undefined
}

/** Where some whole words lead. */
function placeOf(program: Command, words: readonly string[]): Place {
  const place: Place = { command: program, given: 0, option: undefined }
  const options = (): Option[] => [...place.command.options, ...program.options]
  for (const word of words) {
    if (place.option !== undefined) place.option = undefined
    else if (word.startsWith('-')) {
      const option = options().find(({ short, long }) => short === word || long === word)
      place.option = takesValue(option) ? option : undefined
    } else {
      const below = place.given === 0 ? place.command.commands.find(each => each.name() === word) : undefined
      if (below === undefined) place.given++
      else place.command = below
    }
  }
  return place
}

/** What may come in place of the last word, before it is compared with it. */
async function candidates(
  program: Command,
  words: readonly string[],
  session: () => Session,
): Promise<string[]> {
  const unfinished = words.at(-1) ?? ''
  const { command, given, option } = placeOf(program, words.slice(0, -1))
  if (option !== undefined) return idsOf(option.attributeName(), session)
  if (unfinished.startsWith('-'))
    return [...command.options, ...program.options]
      .flatMap(each => [each.long ?? each.short!])
      .concat('--help')
  const below =
    given === 0
      ? command
          .createHelp()
          .visibleCommands(command)
          .map(each => each.name())
      : []
  const argument: Argument | undefined =
    command.registeredArguments[given] ?? command.registeredArguments.findLast(each => each.variadic)
  const name = ['approve', 'deny'].includes(command.name()) ? 'decided' : argument?.name()
  return [...below, ...(name === undefined ? [] : await idsOf(name, session))]
}

export function addCompletion(program: Command, session: () => Session): void {
  program
    .command('completion <shell>')
    .description('a script that completes commands, options and ids: bash, zsh or fish')
    .action((shell: string) => {
      const script = scripts[shell]
      if (script === undefined)
        throw new UsageError(
          `a shell was expected: ${Object.keys(scripts).join(', ')}; found ${JSON.stringify(shell)}`,
        )
      session().output.line(script)
    })
  program.command('complete [words...]', { hidden: true }).action(async (words: string[]) => {
    const unfinished = words.at(-1) ?? ''
    const found = await candidates(program, words, session)
    for (const word of new Set(found)) if (word.startsWith(unfinished)) console.log(word)
  })
}
