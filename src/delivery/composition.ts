// What a run is delivered as: body verified -> trigger and bot found -> inputs rendered -> context files read -> composed.
import { hash } from 'node:crypto'
import {
  contextFiles as filesGiven,
  nameRefusal,
  numberedNames,
  sentAlong,
  type ContextFileBytes,
  type ContextFileGiven,
} from '../context-files.ts'
import { DamagedError, damagedCode } from '../errors.ts'
import { exactJson } from '../exact-json.ts'
import type { Bot, TriggerInput } from '../contract/types.ts'
import { chosenBot, type ClaimedRun, type RunOverride, type StoredEvent } from '../store/store.ts'
import type { AttemptOptions } from './attempt-options.ts'
import type { EventView } from './bot.ts'
import type { ToolRules } from '../tools.ts'

export interface Composition {
  run: ClaimedRun
  started_at: number
  view: EventView
  /** of a batch */
  events: { event: StoredEvent; view: EventView }[] | undefined
  trigger: TriggerInput
  /** undefined: the question is about a run that no bot is chosen for */
  bot: Bot | undefined
  /** undefined: nothing was changed of the run before it began */
  override: RunOverride | undefined
  /** what its bot was asked, once it was */
  request?: string | null
  /** how its bot may finish it later */
  handed?: { lease_token: string; timeout_ms: number }
  inputs: unknown
  context: ContextFileBytes[]
  body: string
}

/** The run cannot be begun; transient: another try may find it otherwise. */
export class NotBegun extends Error {
  readonly status: string
  readonly transient: boolean

  constructor(status: string, message: string, transient = false) {
    super(message)
    this.status = status
    this.transient = transient
  }
}

/** What is delivered is complete: each event as it came, all of a batch. */
export function verifyBody({ run }: Composition): void {
  for (const { id, body, body_sha256 } of run.events ?? [run.event])
    if (!hash('sha256', body, 'buffer').equals(body_sha256))
      throw new NotBegun(
        'E_BODY_HASH',
        `the stored body of event ${id} is damaged: it does not have the hash that it was stored with`,
      )
}

async function findTrigger(record: Composition, { trigger }: AttemptOptions): Promise<void> {
  const { run } = record
  const found = await trigger(run.trigger_id, run.trigger_version).catch((error: unknown) => {
    throw error instanceof DamagedError ? new NotBegun(damagedCode, error.what) : error
  })
  if (found === null)
    throw new NotBegun(
      'E_TRIGGER',
      `version ${run.trigger_version} of trigger ${run.trigger_id} is not stored`,
    )
  record.trigger = found
}

function findBot(record: Composition, { bot }: AttemptOptions): void {
  const { bot_id } = record.run
  const owner = bot(bot_id)
  if (owner === undefined) throw new NotBegun('E_BOT', `bot ${bot_id} does not exist any more`)
  record.bot = owner
}

/** What run.update made of it. */
async function findOverride(record: Composition, { override }: AttemptOptions): Promise<void> {
  const { id, flow } = record.run
  record.override = undefined
  if (flow?.overridden !== true) return
  const found = await override(id)
  if (found === null || found.damaged === true)
    throw new NotBegun(
      damagedCode,
      `what was changed of run ${id} before it began is damaged: its row of the table run_override is missing, or not what was written`,
    )
  record.override = found
}

/** The files that run.update put in the place of those of the event. */
function changedFiles(text: string): ContextFileBytes[] {
  const checked = filesGiven(JSON.parse(text) as ContextFileGiven[])
  if ('refusal' in checked)
    throw new NotBegun(damagedCode, `the context files of the run are damaged: ${checked.refusal.reason}`)
  return checked.files
}

/** The files of the event; of several events each with its number in front, so that all keep their names. */
async function findContext(record: Composition, { contextFiles }: AttemptOptions): Promise<void> {
  const { event, events } = record.run
  if (record.override?.context_files != null)
    return void (record.context = changedFiles(record.override.context_files))
  record.context = []
  for (const [index, { id, context_files }] of (events ?? [event]).entries()) {
    if (context_files === 0) continue
    const files = await contextFiles(id)
    if (
      files.length !== context_files ||
      files.some(file => file.damaged !== undefined || nameRefusal(file.name) !== undefined)
    )
      throw new NotBegun(
        damagedCode,
        `the context files of event ${id} are damaged: a row of the table context_file is missing, or not what was written`,
      )
    const names =
      events === undefined
        ? undefined
        : numberedNames(
            index + 1,
            files.map(({ name }) => name),
          )
    for (const [position, file] of files.entries()) {
      if (!hash('sha256', file.content, 'buffer').equals(file.sha256))
        throw new NotBegun(
          'E_BODY_HASH',
          `context file ${file.name} of event ${id} is damaged: it does not have the hash that it was stored with`,
        )
      record.context.push(names === undefined ? file : { ...file, name: names[position]! })
    }
  }
}

async function renderInputs(record: Composition, { render, view }: AttemptOptions): Promise<void> {
  const { event, events } = record.run
  const seen = (each: StoredEvent): EventView => {
    try {
      return view(each)
    } catch (error) {
      if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error
      throw new NotBegun(
        damagedCode,
        `event.body_format of event ${each.id} is damaged: its body cannot be read as ${JSON.stringify(each.body_format)}`,
      )
    }
  }
  record.view = seen(event)
  record.events = events?.map(each => ({ event: each, view: seen(each) }))
  if (record.override?.inputs != null) return void (record.inputs = exactJson(record.override.inputs))
  const scope =
    record.events === undefined
      ? record.view
      : { ...record.view, events: record.events.map(each => each.view) }
  const rendered = await render(record.trigger.action.inputs ?? {}, 'inputs', scope)
  if (!rendered.ok) throw new NotBegun('E_INPUTS', rendered.reason, rendered.transient)
  record.inputs = rendered.value
}

function runPart(run: ClaimedRun): object {
  const { id, attempt, trigger_id, trigger_version, workflow_id, replay } = run
  return { id, attempt, trigger_id, trigger_version, bot_id: chosenBot(run), workflow_id, replay }
}

/** The payload as it was received, where it was JSON: numbers and doubled keys stay as they are. One line, always. */
function payloadText(event: StoredEvent, view: EventView): string {
  if (event.body_format !== 'json') return JSON.stringify(view.payload)
  return Buffer.from(event.body)
    .toString('utf8')
    .replaceAll(/[\r\n]+/g, ' ')
}

function eventText(event: StoredEvent, view: EventView): string {
  const { payload: _, ...attributes } = view
  return `${JSON.stringify(attributes).slice(0, -1)},"payload":${payloadText(event, view)}}`
}

/** A command finds its files in a directory, everyone else in the body. */
function contextText(context: readonly ContextFileBytes[], bot: Bot | undefined): string {
  if (context.length === 0) return ''
  const files =
    bot?.endpoint.kind === 'command'
      ? context.map(({ name, content }) => ({ name, bytes: content.byteLength }))
      : context.map(sentAlong)
  return `,"context_files":${JSON.stringify(files)}`
}

/** allowed_tools is null where no list limits the tools: then the bot may use all but the denied ones. */
function toolsText({ run, trigger, bot }: Composition, tools: ToolRules): string {
  const { allowed = null } = tools.permit(run.allowed_tools ?? trigger.action.allowed_tools, bot)
  const allowed_denied_tools = bot === undefined ? [] : tools.exceptions(bot.id)
  return JSON.stringify({
    allowed_tools: allowed,
    denied_tools: tools.limits.denied_tools,
    allowed_denied_tools,
  }).slice(1, -1)
}

function compose(record: Composition, { tools }: AttemptOptions): void {
  const { run, view, events, inputs, trigger, bot, context } = record
  const trigger_part = JSON.stringify({
    id: trigger.id,
    version: run.trigger_version,
    event_source_id: trigger.event_source_id ?? null,
  })
  const batch =
    events === undefined
      ? ''
      : `,"events":[${events.map(each => eventText(each.event, each.view)).join(',')}]`
  record.body = `{"run":${JSON.stringify(runPart(run))},"event":${eventText(run.event, view)}${batch},"trigger":${trigger_part},"inputs":${JSON.stringify(inputs)},${toolsText(record, tools)}${contextText(context, bot)}}`
}

/** What a run is delivered as, made ready. Throws NotBegun. */
export async function prepare(record: Composition, options: AttemptOptions): Promise<void> {
  verifyBody(record)
  findBot(record, options)
  await composed(record, options)
}

export async function composed(record: Composition, options: AttemptOptions): Promise<void> {
  await findTrigger(record, options)
  await findOverride(record, options)
  await renderInputs(record, options)
  await findContext(record, options)
  compose(record, options)
}
