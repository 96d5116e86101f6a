// Which tools the bot of a run may use: those that its trigger and the bot itself list, less the denied ones. Pure.
//
// An agent looks its tools up by name, so a denied tool must not pass under another spelling. A name is judged by its
// words: split at everything that is no letter, at camelCase boundaries and around digits, without regard to case.
// Every doubt counts as denied, because only the configuration can allow a denied tool again, and does so by its name.

/** A denied tool that a bot may use all the same; without bot_id every bot. */
export interface AllowedDeniedTool {
  tool: string
  bot_id?: string | undefined
}

/** What the configuration says about tools. */
export interface ToolLimits {
  denied_tools: readonly string[]
  allowed_denied_tools: readonly AllowedDeniedTool[]
}

/** A tool that was removed from a list, and why. */
export interface CutTool {
  tool: string
  reason: string
}

interface ToolUser {
  id: string
  /** all that it may ever use; undefined: it has no such list */
  tools?: readonly string[] | undefined
}

export interface Permitted {
  /** undefined: no list limits the tools, all but the denied ones may be used */
  allowed: string[] | undefined
  cut: CutTool[]
}

/** A tool in quotes, with everything that is not ASCII escaped: a look-alike must not look alike. */
export function shownTool(tool: string): string {
  return JSON.stringify(tool).replaceAll(
    /[^ -~]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

export const noToolLimits: ToolLimits = { denied_tools: [], allowed_denied_tools: [] }

/** Judged names that are kept: triggers repeat few names many times. */
const maxJudged = 2000

const nameOrArguments = /^([^()]*)(?:\(([^()]*)\))?$/
/**
 * Wildcards, commas, quotes and spaces are missing on purpose: they could stand for another name, or make two of one. A
 * hyphen in front would be an option where a bot passes tools as arguments.
 */
const plainName = /^(?=.*[A-Za-z0-9])[A-Za-z0-9_][A-Za-z0-9_.:/@-]*$/
/** Agents take these for more than one tool: Claude Code approves all tools of a server by mcp__server, and has a set named default. */
const groupName = /^(all|any|default|mcp__(?!.*[A-Za-z0-9]__+[A-Za-z0-9]).*)$/i
const invisible = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

const camelCase =
  /(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])/g
/** BASHOutput may be written BASHoutput: there the last capital belongs to the word in front of it. */
const capitalsFirst =
  /(?<=[a-z])(?=[A-Z])|(?<=[A-Z]{2})(?=[a-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])/g

function split(name: string, boundaries: RegExp): string {
  return name.replaceAll(boundaries, '_').toLowerCase()
}

function wordsOf(text: string): string[] {
  return text.split(/[^a-z0-9]+/).filter(word => word !== '')
}

/** A tool as it is judged: its name without arguments; undefined with the reason where the name cannot be judged. */
function nameOf(tool: string): { name: string } | { name: undefined; reason: string } {
  const unclear = (reason: string): { name: undefined; reason: string } => ({ name: undefined, reason })
  const text = tool.normalize('NFKC')
  if (invisible.test(text)) return unclear('it contains a control character or an invisible one')
  const [, name] = nameOrArguments.exec(text) ?? []
  if (name === undefined)
    return unclear('it must be a name, or a name with arguments in one pair of parentheses at the end')
  if (/[^ -~]/.test(name))
    return unclear('its name contains a character other than ASCII, which could imitate another name')
  if (!plainName.test(name))
    return unclear(
      'its name must consist of letters, digits and _ - . : / @ and begin with a letter, a digit or _; anything else could stand for other tools',
    )
  if (groupName.test(name))
    return unclear('its name stands for several tools; each must be listed by its own name')
  return { name }
}

/** Whether a text matches a pattern with * for any characters. Linear: a name must not be able to make it slow. */
function matches(pattern: string, text: string): boolean {
  const [first, ...others] = pattern.split('*')
  const last = others.pop()
  if (last === undefined) return pattern === text
  const end = text.length - last.length
  let at = first!.length
  if (end < at || !text.startsWith(first!) || !text.endsWith(last)) return false
  for (const part of others) {
    const found = text.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

/** Whether a list has a tool, itself or without its arguments, or the family in front of its first colon. */
function lists(list: readonly string[], tool: string): boolean {
  const { name } = nameOf(tool)
  const forms = new Set(
    [tool, ...(name === undefined ? [] : [name, name.split(':')[0]!])].map(form => form.toLowerCase()),
  )
  return list.some(each => forms.has(each.toLowerCase()))
}

/** The limits of the configuration, made ready to judge tools by. */
export class ToolRules {
  readonly limits: ToolLimits
  /** denied words and names as one word each, with the entry that they come from */
  readonly #names = new Map<string, string>()
  readonly #longest: number
  /** each in both forms that names are compared in */
  readonly #patterns: { entry: string; forms: string[] }[] = []
  readonly #judged = new Map<string, string | undefined>()

  constructor(limits: ToolLimits) {
    this.limits = limits
    for (const entry of limits.denied_tools) {
      const text = entry.normalize('NFKC')
      if (text.includes('*')) this.#patterns.push({ entry, forms: formsOf(text) })
      else {
        const name = wordsOf(text.toLowerCase()).join('')
        if (name !== '') this.#names.set(name, entry)
      }
    }
    this.#longest = Math.max(0, ...[...this.#names.keys()].map(name => name.length)) + 'es'.length
  }

  /** The denied tools that a bot may use all the same. */
  exceptions(bot_id: string): string[] {
    return this.limits.allowed_denied_tools
      .filter(each => each.bot_id === undefined || each.bot_id === bot_id)
      .map(({ tool }) => tool)
  }

  /** Why a bot must not use a tool; undefined: it may. Without a bot: why none may. */
  denial(tool: string, bot_id: string | undefined): string | undefined {
    const reason = this.#judge(tool)
    return reason === undefined || this.#isException(tool, bot_id) ? undefined : reason
  }

  /** The tools of a run. allowed: what its trigger lists, undefined where it has no list; bot undefined: none is chosen yet. */
  permit(allowed: readonly string[] | undefined, bot: ToolUser | undefined): Permitted {
    const own = bot?.tools
    const listed = allowed ?? own
    if (listed === undefined) return { allowed: undefined, cut: [] }
    const cut = listed.flatMap((tool): CutTool[] => {
      const reason =
        this.denial(tool, bot?.id) ??
        (own === undefined || lists(own, tool) ? undefined : `bot ${bot!.id} does not list it in its tools`)
      return reason === undefined ? [] : [{ tool, reason }]
    })
    const gone = new Set(cut.map(({ tool }) => tool))
    return { allowed: listed.filter(tool => !gone.has(tool)), cut }
  }

  #judge(tool: string): string | undefined {
    if (this.#judged.has(tool)) return this.#judged.get(tool)
    const found = nameOf(tool)
    const reason = found.name === undefined ? found.reason : this.#match(found.name)
    if (this.#judged.size >= maxJudged) this.#judged.clear()
    this.#judged.set(tool, reason)
    return reason
  }

  #match(name: string): string | undefined {
    for (const text of new Set([split(name, camelCase), split(name, capitalsFirst)])) {
      const entry = this.#named(wordsOf(text))
      if (entry !== undefined) return `it matches ${JSON.stringify(entry)} of the denied tools`
    }
    const forms = formsOf(name)
    const pattern = this.#patterns.find(each =>
      each.forms.some((form, index) => matches(form, forms[index]!)),
    )
    return pattern === undefined
      ? undefined
      : `it matches the pattern ${JSON.stringify(pattern.entry)} of the denied tools`
  }

  /** The entry that one word, or several adjacent words written together, are: b_a_s_h is bash, and web-fetch is WebFetch. */
  #named(words: readonly string[]): string | undefined {
    for (let first = 0; first < words.length; first++) {
      let text = ''
      for (let last = first; last < words.length && text.length <= this.#longest; last++) {
        text += words[last]
        const entry = this.#names.get(text) ?? (text.endsWith('s') ? this.#singular(text) : undefined)
        if (entry !== undefined) return entry
      }
    }
    return undefined
  }

  #singular(text: string): string | undefined {
    return (
      this.#names.get(text.slice(0, -1)) ??
      (text.endsWith('es') ? this.#names.get(text.slice(0, -2)) : undefined)
    )
  }

  #isException(tool: string, bot_id: string | undefined): boolean {
    const { name } = nameOf(tool)
    return this.limits.allowed_denied_tools.some(each => {
      if (bot_id !== undefined && each.bot_id !== undefined && each.bot_id !== bot_id) return false
      const allowed = each.tool.toLowerCase()
      return allowed === tool.toLowerCase() || (name !== undefined && matches(allowed, name.toLowerCase()))
    })
  }
}

/** What patterns and names are compared as: words with _ between them, and as written. */
function formsOf(text: string): [string, string] {
  return [split(text, camelCase).replaceAll(/[^a-z0-9*]+/g, '_'), text.toLowerCase()]
}
