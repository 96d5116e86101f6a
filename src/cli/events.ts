// signalbox events: the log.
import type { Command } from 'commander'
import type { EventQueryParams, EventQueryResult, EventSummary } from '../client/client.ts'
import { addRefused } from './refused.ts'
import { addSave } from './samples.ts'
import { shownId } from './ids.ts'
import { plain, record, shortened, table, time, type Column, type Output } from './output.ts'
import { jsonArgument, wholeNumber, type Session } from './session.ts'
import { timeArgument } from './times.ts'

interface ListOptions {
  source?: string
  type?: string
  subject?: string
  actor?: string
  requestedBy?: string
  thread?: string
  trigger?: string
  matched?: boolean
  unmatched?: boolean
  since?: number
  until?: number
  filter?: string
  near?: string
  limit: number
  cursor?: string
}

interface FollowOptions {
  source?: string
  type?: string
  subject?: string
  actor?: string
  thread?: string
  filter?: string
  after?: string
  whole?: boolean
}

/** Answers of a query with a filter that are asked for before it is left to the caller: 200,000 events. */
const mostAnswers = 100

/** The events of a query; the router looks at few for one answer, so it is asked until there are enough. */
async function found(
  current: Session,
  query: EventQueryParams & { limit: number },
): Promise<EventQueryResult> {
  const events: EventSummary[] = []
  let cursor = query.cursor
  for (let asked = 0; ; asked++) {
    const {
      events: page,
      next_cursor,
      ...rest
    } = await current.call('event.query', {
      ...query,
      limit: query.limit - events.length,
      ...(cursor === undefined ? {} : { cursor }),
    })
    events.push(...page)
    cursor = next_cursor
    if (cursor === undefined) return { events, ...rest }
    if (events.length >= query.limit || asked === mostAnswers) return { events, next_cursor: cursor, ...rest }
  }
}

function addFollow(events: Command, session: () => Session): void {
  events
    .command('follow')
    .description('events as they are logged, until ctrl-c')
    .option('--source <id>', 'of one source; router: lifecycle events of the router itself')
    .option('--type <type>', 'of one type')
    .option('--subject <text>', 'about one subject')
    .option('--actor <login>', 'caused by one account, in any case')
    .option('--thread <text>', 'of one conversation, such as acme/site#12')
    .option('--filter <json>', 'that match an event pattern; @file for a file')
    .option('--after <cursor>', 'go on behind a cursor that --json printed')
    .option('--whole', 'with their payload')
    .action(async ({ source, filter, ...rest }: FollowOptions) => {
      const { output } = session()
      const params = {
        ...rest,
        source_id: source,
        ...(filter === undefined
          ? {}
          : { filter: jsonArgument(filter, 'the filter') as Record<string, unknown> }),
      }
      await session().follow(params, ({ cursor, event }) => {
        if (output.json) return output.line(JSON.stringify({ cursor, event }))
        if (rest.whole === true) record(output, event)
        const matched = triggersOf(event)
        const told = matched === '-' ? '' : `  -> ${matched}`
        return output.line(
          `${time(event.received_at)}  ${event.source_id}  ${plain(event.type)}  ${plain(event.subject ?? '-')}${told}  ${event.id}`,
        )
      })
    })
}

/** The triggers that an event matched, in words. */
function triggersOf({ matched_triggers }: Pick<EventSummary, 'matched_triggers'>): string {
  if (matched_triggers === null) return 'damaged'
  return matched_triggers.length === 0 ? '-' : matched_triggers.join(', ')
}

/** Columns for what at least one event has. */
function originColumns(events: readonly EventSummary[]): Column<EventSummary>[] {
  const shown = (['actor', 'thread'] as const).filter(name => events.some(event => event[name] !== null))
  return shown.map(name => ({
    title: name.toUpperCase(),
    value: event => `${event[name] ?? '-'}${name === 'actor' && event.emitted === true ? ' (emitted)' : ''}`,
  }))
}

/** Says which events a list by actor or thread leaves out, and how to find them. */
function printBeginning(
  output: Output,
  { actor, thread, filter }: EventQueryParams,
  { begins_at }: EventQueryResult,
): void {
  if (begins_at === undefined || output.json) return
  const pattern = {
    ...filter,
    ...(actor === undefined ? {} : { actor: [actor] }),
    ...(thread === undefined ? {} : { thread: [thread] }),
  }
  output.line(
    `events received before ${time(begins_at)} were logged without actor and thread and are not listed`,
  )
  output.line(`find them with: --filter ${plain(`'${JSON.stringify(pattern)}'`)}`)
}

function listCommand(events: Command): Command {
  return events
    .command('list', { isDefault: true })
    .description('events, newest first')
    .option('--source <id>', 'of one source')
    .option('--type <type>', 'of one type')
    .option('--subject <text>', 'about one subject')
    .option('--actor <login>', 'caused by one account, in any case')
    .option('--requested-by <principal>', 'emitted by one principal: local, token:ID, bot:ID')
    .option('--thread <text>', 'of one conversation, such as acme/site#12')
    .option('--trigger <id>', 'that one trigger had a part in')
    .option('--matched', 'that matched a trigger')
    .option('--unmatched', 'that matched none')
    .option('--since <time>', 'received since: 2h, 7d, or a date', timeArgument)
    .option('--until <time>', 'received before', timeArgument)
    .option('--filter <json>', 'that match an event pattern; @file for a file')
    .option('--near <trigger>', 'near misses of a trigger: that fail by one field')
    .option('-n, --limit <count>', 'how many', wholeNumber, 20)
    .option('--cursor <text>', 'go on where an answer ended')
}

export function addEvents(program: Command, session: () => Session): void {
  const events = program
    .command('events')
    .description('look at the log')
    .addHelpText(
      'after',
      '\nsignalbox events is signalbox events list; its options: signalbox events list --help',
    )
  listCommand(events).action(async (options: ListOptions) => {
    const current = session()
    const { source, trigger, matched, unmatched, filter, requestedBy: requested_by, ...rest } = options
    const query = {
      ...rest,
      requested_by,
      source_id: source,
      trigger_id: trigger,
      ...(matched === true ? { matched: true } : unmatched === true ? { matched: false } : {}),
      ...(filter === undefined
        ? {}
        : { filter: jsonArgument(filter, 'the filter') as Record<string, unknown> }),
    }
    const answer = await found(current, query)
    table(
      current.output,
      answer.events,
      [
        { title: 'EVENT', value: event => shownId(current.output, event.id) },
        { title: 'RECEIVED', value: event => time(event.received_at) },
        { title: 'SOURCE', value: event => event.source_id },
        { title: 'TYPE', value: event => event.type },
        { title: 'SUBJECT', value: event => event.subject ?? '-' },
        ...originColumns(answer.events),
        { title: 'BYTES', value: event => String(event.body_bytes) },
        {
          title: 'TRIGGERS',
          value: triggersOf,
          style: event => (triggersOf(event) === '-' ? 'dim' : 'green'),
        },
        ...(options.near === undefined
          ? []
          : [
              {
                title: 'FAILS',
                value: (event: EventSummary): string =>
                  event.failing?.map(path => shortened(path)).join(', ') || 'only the array elements',
              },
            ]),
      ],
      answer.next_cursor === undefined ? 'no such events' : 'none among those that were looked at',
    )
    printBeginning(current.output, query, answer)
    if (answer.next_cursor !== undefined && !current.output.json)
      current.output.line(`more with: --cursor ${answer.next_cursor}`)
  })
  addFollow(events, session)
  addRefused(events, session)
  events
    .command('show <event>')
    .description('one event (or "last") with its payload')
    .option('--raw', 'the body as it was received, and nothing else')
    .action(async (given: string, { raw }: { raw?: boolean }) => {
      const current = session()
      const event = await current.call('event.get', { event_id: await current.eventId(given), raw })
      const body = raw === true ? Buffer.from(event.body_base64!, 'base64') : undefined
      // A body may not steer a terminal; anything else that reads gets the bytes.
      if (body !== undefined)
        process.stdout.write(process.stdout.isTTY ? plain(body.toString('utf8'), true) : body)
      else record(current.output, event)
    })
  addSave(events, session)
}
