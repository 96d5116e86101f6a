// signalbox completion: scripts for shells, which ask the program itself what may come next.
import type { Argument, Command, Option } from 'commander'
import { UsageError, type Session } from './session.ts'

/** As long as a person who pressed Tab is kept waiting for a router. */
const mostMs = 800
const mostIds = 100

/** The script asks for the words behind the program's name, the last one unfinished; without an answer the shell offers files. */
const scripts: Record<string, string> = {
  bash: `# source <(signalbox completion bash)
_signalbox() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$("\${COMP_WORDS[0]}" complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _signalbox signalbox`,
  zsh: `#compdef signalbox
# source <(signalbox completion zsh)
_signalbox() {
  local -a found
  found=("\${(@f)$("\${words[1]}" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  [[ -n "$found" ]] && compadd -a found || _files
}
compdef _signalbox signalbox`,
  fish: `# signalbox completion fish | source
function __signalbox_complete
  set -l words (commandline -opc) (commandline -ct)
  $words[1] complete -- $words[2..] 2>/dev/null
end
complete -c signalbox -a '(__signalbox_complete)'`,
}

type Ids = (session: Session) => Promise<string[]>

const lists: Record<string, Ids> = {
  run: async session => ['last', ...(await session.call('run.list', { limit: mostIds })).runs.map(({ id }) => id)],
  event: async session => ['last', ...(await session.call('event.query', { limit: mostIds })).events.map(({ id }) => id)],
  trigger: async session => (await session.call('trigger.list', { limit: mostIds })).triggers.map(({ id }) => id),
  bot: async session => (await session.call('bot.list', { limit: mostIds })).bots.map(({ id }) => id),
  queue: async session => (await session.call('queue.list', { limit: mostIds })).queues.map(({ id }) => id),
  source: async session => (await session.call('source.list', { limit: mostIds })).sources.map(({ id }) => id),
  workflow: async session => (await session.call('source.list', { limit: mostIds, source_type: 'dispatch' })).sources.map(({ id }) => id),
  method: async session => {
    const { methods } = (await session.call('rpc.discover', {})) as unknown as { methods: { name: string }[] }
    return methods.map(({ name }) => name)
  },
  state: async () => ['pending', 'held', 'awaiting_approval', 'assigned', 'running', 'paused', 'completed', 'cancelled', 'failed', 'timed_out', 'dead'],
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
async function candidates(program: Command, words: readonly string[], session: () => Session): Promise<string[]> {
  const unfinished = words.at(-1) ?? ''
  const { command, given, option } = placeOf(program, words.slice(0, -1))
  if (option !== undefined) return idsOf(option.attributeName(), session)
  if (unfinished.startsWith('-')) return [...command.options, ...program.options].flatMap(each => [each.long ?? each.short!]).concat('--help')
  const below =
    given === 0
      ? command
          .createHelp()
          .visibleCommands(command)
          .map(each => each.name())
      : []
  const argument: Argument | undefined = command.registeredArguments[given] ?? command.registeredArguments.findLast(each => each.variadic)
  return [...below, ...(argument === undefined ? [] : await idsOf(argument.name(), session))]
}

export function addCompletion(program: Command, session: () => Session): void {
  program
    .command('completion <shell>')
    .description('a script that completes commands, options and ids: bash, zsh or fish')
    .action((shell: string) => {
      const script = scripts[shell]
      if (script === undefined) throw new UsageError(`a shell was expected: ${Object.keys(scripts).join(', ')}; found ${JSON.stringify(shell)}`)
      session().output.line(script)
    })
  program.command('complete [words...]', { hidden: true }).action(async (words: string[]) => {
    const unfinished = words.at(-1) ?? ''
    const found = await candidates(program, words, session)
    for (const word of new Set(found)) if (word.startsWith(unfinished)) console.log(word)
  })
}
