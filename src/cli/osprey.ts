// An Osprey dispatcher file (triggers.yml) as definitions: webhook and cron triggers that send prompts to one worker.
//
// What such a file says: dispatcher {dispatch_target, max_concurrent_runs (2), max_queue_depth (50)} and triggers of
// {name, source, source_config, action {prompt, allowed_tools, surface_prompt, surface_tools, max_turns}, on_error}. A
// webhook trigger is POST /webhook/<name> with the bearer token of $EVENT_DISPATCHER_TOKEN. A run is POST
// <dispatch_target>/dispatch with the bearer token of $DISPATCH_WORKER_TOKEN and {prompt, allowed_tools, ...}; the
// event's payload is added to the prompt. on_error retry tries again where the worker could not be reached or broke down.
// Schedules are interval_sec, or at (times of day) on days, which are not made up when they were missed.
import type { BotInput, QueueInput, SecretRef, SourceInput, TriggerInput } from '../client/client.ts'
import { plainJson } from '../exact-json.ts'
import { shownTool, type ToolRules } from '../tools.ts'
import type { Definitions } from './definition-files.ts'

export interface OspreyOptions {
  /** id of the bot and its queue */
  bot_id: string
  timezone: string
  intake_token: SecretRef
  worker_token: SecretRef
  /** what the router denies by default */
  tools: Pick<ToolRules, 'denial'>
}

/** Something of the file, by the path at which it stands there. */
export interface Remark {
  path: string
  text: string
}

export interface Converted {
  definitions: Definitions
  /** what is not as it was, or not carried over at all */
  notes: Remark[]
}

/** Osprey would not accept the file. */
export class OspreyError extends Error {
  readonly path: string

  constructor(path: string, message: string) {
    super(message)
    this.path = path
  }
}

const usualConcurrentRuns = 2
const usualQueueDepth = 50
const dispatchTimeoutMs = 30_000
const mostRetries = 24
const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
/** Actions' fields that the worker is sent besides the prompt and the tools. */
const sentFields = ['surface_prompt', 'surface_tools', 'max_turns']

/** Osprey denies these to its workers whatever a trigger says; of the Playwright tools one stands for all. */
export const deniedByOsprey = [
  'WebFetch',
  'WebSearch',
  'mcp__plugin_playwright_playwright__browser_click',
  'Bash',
  'BashOutput',
  'KillShell',
]

/** Whether the tools that Osprey denies are denied here too. */
export function deniedToo({ tools }: Pick<OspreyOptions, 'tools'>): string {
  const open = deniedByOsprey.filter(tool => tools.denial(tool, undefined) === undefined)
  if (open.length > 0)
    return `Osprey denies these tools to its workers, this router does not by default: ${open.join(', ')}`
  return 'the tools that Osprey denies to its workers (WebFetch, WebSearch, the Playwright tools, Bash, BashOutput, KillShell) are denied here too, by the default of denied_tools'
}

type Fields = Record<string, unknown>

/** Notes every field that nothing is made of. */
function noteOthers(fields: Fields, known: readonly string[], path: string, notes: Remark[], why = ''): void {
  for (const name of Object.keys(fields))
    if (!known.includes(name))
      notes.push({ path: path === '' ? name : `${path}.${name}`, text: `is not carried over${why}` })
}

function fieldsAt(value: unknown, path: string): Fields {
  if (value === undefined || value === null) return {}
  if (typeof value === 'object' && !Array.isArray(value)) return value as Fields
  throw new OspreyError(path, `${path} must be an object; found ${JSON.stringify(value)}`)
}

function textAt(fields: Fields, name: string, path: string): string {
  const value = fields[name]
  if (typeof value === 'string' && value !== '') return value
  throw new OspreyError(
    `${path}.${name}`,
    `${path}.${name} must be a text; found ${value === undefined ? 'nothing' : JSON.stringify(value)}`,
  )
}

function numberAt(fields: Fields, name: string, path: string, usual: number, least: number): number {
  const value = plainJson(fields[name] ?? usual)
  if (typeof value === 'number' && value >= least) return value
  throw new OspreyError(
    `${path}.${name}`,
    `${path}.${name} must be a number of at least ${least}; found ${JSON.stringify(value)}`,
  )
}

function textsAt(value: unknown, path: string): string[] {
  const list = typeof value === 'string' ? [value] : (value ?? [])
  if (Array.isArray(list) && list.every(item => typeof item === 'string')) return list
  throw new OspreyError(path, `${path} must be a list of texts; found ${JSON.stringify(value)}`)
}

/** What is text to Osprey is text here, braces and all. */
function literal(text: string): string {
  return text.replaceAll('{{', '{{ "{" & "{" }}')
}

function idOf(name: string, path: string, notes: Remark[]): string {
  const id = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 64)
  if (id === '')
    throw new OspreyError(
      path,
      `${path} must have a letter or digit that an id can begin with; found ${JSON.stringify(name)}`,
    )
  if (id !== name)
    notes.push({
      path,
      text: `becomes ${id}: ids consist of small letters, digits, dots, hyphens and underscores; its senders need the new id`,
    })
  return id
}

/** An interval as a cron expression; undefined where the clock's minutes, hours and days do not hold it evenly. */
function intervalExpression(seconds: number): string | undefined {
  const evenly = (part: number, whole: number): boolean =>
    Number.isInteger(part) && part > 0 && whole % part === 0
  if (seconds < 60) return evenly(seconds, 60) ? `*/${seconds} * * * * *` : undefined
  if (seconds < 3600) return evenly(seconds / 60, 60) ? `*/${seconds / 60} * * * *` : undefined
  if (seconds < 86_400) return evenly(seconds / 3600, 24) ? `0 */${seconds / 3600} * * *` : undefined
  return seconds === 86_400 ? '0 0 * * *' : undefined
}

/** Times of day as cron expressions, one for each minute of the hour that occurs. */
function clockExpressions(at: readonly string[], on: readonly string[], path: string): string[] {
  const byMinute = new Map<number, number[]>()
  for (const [index, time] of at.entries()) {
    const found = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(time)
    if (found === null)
      throw new OspreyError(
        `${path}.at.${index}`,
        `${path}.at.${index} must be a time such as "17:00", in quotes; found ${JSON.stringify(time)}`,
      )
    byMinute.set(Number(found[2]), [...(byMinute.get(Number(found[2])) ?? []), Number(found[1])])
  }
  const wrong = on.find(day => !days.includes(day))
  if (wrong !== undefined)
    throw new OspreyError(
      `${path}.days`,
      `${path}.days must be some of ${days.join(', ')}; found ${JSON.stringify(wrong)}`,
    )
  const weekdays = on.length === 0 ? '*' : on.join(',')
  return [...byMinute].map(
    ([minute, hours]) => `${minute} ${hours.toSorted((a, b) => a - b).join(',')} * * ${weekdays}`,
  )
}

function expressionsOf(config: Fields, path: string, notes: Remark[]): string[] {
  if (config.at !== undefined)
    return clockExpressions(textsAt(config.at, `${path}.at`), textsAt(config.days, `${path}.days`), path)
  const seconds = numberAt(config, 'interval_sec', path, Number.NaN, 0.001)
  const expression = intervalExpression(seconds)
  if (expression === undefined)
    notes.push({
      path: `${path}.interval_sec`,
      text: `every ${seconds} s is no schedule by the clock: the trigger is not carried over; give it a cron source`,
    })
  else
    notes.push({
      path: `${path}.interval_sec`,
      text: `comes by the clock (${expression}), not counted from the start of the router`,
    })
  return expression === undefined ? [] : [expression]
}

function sourcesOf(
  id: string,
  trigger: Fields,
  path: string,
  { timezone, intake_token }: OspreyOptions,
  notes: Remark[],
): SourceInput[] {
  const config = fieldsAt(trigger.source_config, `${path}.source_config`)
  const kind = textAt(trigger, 'source', path)
  const known = kind === 'cron' ? ['interval_sec', 'at', 'days'] : []
  if (kind === 'webhook' || kind === 'cron') noteOthers(config, known, `${path}.source_config`, notes)
  if (kind === 'webhook')
    return [
      {
        id,
        source_type: 'webhook',
        config: { provider: 'bearer', secrets: [intake_token], event_type: 'webhook' },
      },
    ]
  if (kind !== 'cron') {
    notes.push({
      path: `${path}.source`,
      text: `is ${kind}, for which there is no source: the trigger is not carried over; a poll or a watch may read the same`,
    })
    return []
  }
  return expressionsOf(config, `${path}.source_config`, notes).map((expression, index) => ({
    id: index === 0 ? id : `${id}-${index + 1}`,
    source_type: 'cron',
    config: {
      expression,
      ...(timezone === 'UTC' ? {} : { timezone }),
      catch_up: 'none',
      payload: { trigger: id },
    },
  }))
}

function retryOf(trigger: Fields, path: string, notes: Remark[]): NonNullable<TriggerInput['policy']> {
  const on_error = fieldsAt(trigger.on_error, `${path}.on_error`)
  const action = on_error.action ?? 'drop'
  if (action !== 'retry') {
    if (action === 'alert')
      notes.push({
        path: `${path}.on_error.action`,
        text: 'alert is drop here: failed runs stay with the dead letters, and are events run.failed of the source router',
      })
    else if (action !== 'drop')
      throw new OspreyError(
        `${path}.on_error.action`,
        `${path}.on_error.action must be retry, drop or alert; found ${JSON.stringify(action)}`,
      )
    return { retry: 'none' }
  }
  const asked = Math.floor(numberAt(on_error, 'max_retries', `${path}.on_error`, 0, 0))
  if (asked > mostRetries)
    notes.push({
      path: `${path}.on_error.max_retries`,
      text: `is ${mostRetries} here, no more attempts are made`,
    })
  const wait = Math.round(1000 * numberAt(on_error, 'backoff_sec', `${path}.on_error`, 0, 0))
  return {
    retry: [0, ...Array.from({ length: Math.min(asked, mostRetries) }, () => wait)],
    retry_on: ['unreachable', 'unavailable', 'timeout'],
  }
}

/** Notes the tools of a list that the router denies, and answers the others. */
function permittedOf(
  list: readonly string[],
  path: string,
  why: string,
  { tools }: OspreyOptions,
  notes: Remark[],
): string[] {
  return list.filter((tool, index) => {
    const denial = tools.denial(tool, undefined)
    if (denial !== undefined)
      notes.push({
        path: `${path}.${index}`,
        text: `${shownTool(tool)} is denied by default: ${denial}; ${why}`,
      })
    return denial === undefined
  })
}

/** Tools that are sent as an input: the router does not judge inputs, so denied ones are left out here. */
function sentValue(
  name: string,
  value: unknown,
  path: string,
  options: OspreyOptions,
  notes: Remark[],
): unknown {
  if (name !== 'surface_tools') return typeof value === 'string' ? literal(value) : value
  return permittedOf(textsAt(value, path), path, 'it is left out', options, notes).map(literal)
}

const promptEnd =
  '{{ $boolean(payload) ? "\\n\\nThe payload of the event, as JSON:\\n" & $string(payload, true) : "" }}'

function triggerOf(
  id: string,
  trigger: Fields,
  path: string,
  sources: readonly SourceInput[],
  options: OspreyOptions,
  notes: Remark[],
): TriggerInput {
  const { bot_id } = options
  const action = fieldsAt(trigger.action, `${path}.action`)
  const sent = sentFields.filter(name => action[name] !== undefined && action[name] !== null)
  noteOthers(
    action,
    ['prompt', 'allowed_tools', ...sentFields],
    `${path}.action`,
    notes,
    ': workers are not sent it',
  )
  const ids = sources.map(source => source.id)
  const allowed_tools = textsAt(action.allowed_tools, `${path}.action.allowed_tools`)
  permittedOf(
    allowed_tools,
    `${path}.action.allowed_tools`,
    "only the configuration's allowed_denied_tools allows it",
    options,
    notes,
  )
  return {
    id,
    ...(ids.length === 1 ? { event_source_id: ids[0]! } : {}),
    filter: { source_id: ids },
    action: {
      bot_id,
      workflow_id: id,
      inputs: {
        prompt: `${literal(textAt(action, 'prompt', `${path}.action`))}${promptEnd}`,
        ...Object.fromEntries(
          sent.map(name => [name, sentValue(name, action[name], `${path}.action.${name}`, options, notes)]),
        ),
      },
      allowed_tools,
    },
    policy: retryOf(trigger, path, notes),
  }
}

/** The definitions that do what an Osprey file says. Throws OspreyError with the path of what is wrong in it. */
export function fromOsprey(file: unknown, options: OspreyOptions): Converted {
  const { bot_id, worker_token } = options
  const notes: Remark[] = []
  const top = fieldsAt(file, '')
  const dispatcher = fieldsAt(top.dispatcher, 'dispatcher')
  const target = textAt(dispatcher, 'dispatch_target', 'dispatcher')
  if (!URL.canParse(target))
    throw new OspreyError(
      'dispatcher.dispatch_target',
      `dispatcher.dispatch_target must be a URL; found ${JSON.stringify(target)}`,
    )
  if (!/^(localhost|127\.[\d.]+|\[::1\])$/.test(new URL(target).hostname))
    notes.push({
      path: 'dispatcher.dispatch_target',
      text: "is not on this machine: where its address is a private one, list that in the configuration's egress_allow",
    })
  if (top.triggers !== undefined && !Array.isArray(top.triggers))
    throw new OspreyError('triggers', `triggers must be a list; found ${JSON.stringify(top.triggers)}`)
  noteOthers(top, ['dispatcher', 'triggers'], '', notes)
  noteOthers(dispatcher, ['dispatch_target', 'max_concurrent_runs', 'max_queue_depth'], 'dispatcher', notes)
  const bot: BotInput = {
    id: bot_id,
    max_active: numberAt(dispatcher, 'max_concurrent_runs', 'dispatcher', usualConcurrentRuns, 1),
    endpoint: {
      kind: 'http',
      url: `${target.replace(/\/+$/, '')}/dispatch`,
      bearer: worker_token,
      body: '{{ $merge([inputs, {"allowed_tools": allowed_tools}]) }}',
      timeout_ms: dispatchTimeoutMs,
    },
  }
  const queue: QueueInput = {
    id: bot_id,
    max_pending: numberAt(dispatcher, 'max_queue_depth', 'dispatcher', usualQueueDepth, 1),
  }
  const definitions: Definitions = { bots: [bot], queues: [queue], sources: [], triggers: [] }
  for (const [index, each] of ((top.triggers ?? []) as unknown[]).entries()) {
    const path = `triggers.${index}`
    const trigger = fieldsAt(each, path)
    noteOthers(trigger, ['name', 'source', 'source_config', 'action', 'on_error'], path, notes)
    const id = idOf(textAt(trigger, 'name', path), `${path}.name`, notes)
    const sources = sourcesOf(id, trigger, path, options, notes)
    if (sources.length === 0) continue
    definitions.sources.push(...sources)
    definitions.triggers.push(triggerOf(id, trigger, path, sources, options, notes))
  }
  const ids = definitions.sources.map(source => source.id)
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  if (twice !== undefined)
    throw new OspreyError('triggers', `two triggers come to the name ${twice}; give one of them another`)
  if (definitions.sources.some(source => source.source_type === 'cron') && options.timezone === 'UTC')
    notes.push({ path: 'triggers', text: 'schedules are read in UTC; say --timezone for another zone' })
  return { definitions, notes }
}
