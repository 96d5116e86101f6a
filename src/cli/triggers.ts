// signalbox triggers: when to start what.
import type { Command } from 'commander'
import type { Trigger, TriggerInput, TriggerPutParams } from '../client/client.ts'
import { printReport } from './backtest.ts'
import { printWarnings, record, shortened, table, time } from './output.ts'
import { everyPage, jsonFile, mostAtOnce, wholeNumber, type Session } from './session.ts'

/** A disabled trigger matches nothing, whether it is paused or not. */
function state({ enabled, paused }: Trigger): string {
  if (!enabled) return 'disabled'
  return paused === true ? 'paused' : 'enabled'
}

function addList(triggers: Command, session: () => Session): void {
  triggers
    .command('list', { isDefault: true })
    .description('all triggers')
    .action(async () => {
      const all = await everyPage(async cursor => {
        const { triggers: page, next_cursor } = await session().call('trigger.list', {
          limit: mostAtOnce,
          cursor,
        })
        return { page, next_cursor }
      })
      table(
        session().output,
        all,
        [
          { title: 'TRIGGER', value: trigger => trigger.id },
          { title: 'SOURCE', value: trigger => trigger.event_source_id ?? 'any' },
          {
            title: 'STATE',
            value: state,
            style: trigger => (state(trigger) === 'enabled' ? 'green' : 'yellow'),
          },
          {
            title: 'BOT',
            value: trigger =>
              trigger.action.bot_id ?? `any of [${(trigger.action.capabilities ?? []).join(', ')}]`,
          },
          { title: 'WORKFLOW', value: trigger => trigger.action.workflow_id ?? '-' },
          { title: 'FILTER', value: trigger => shortened(trigger.filter, 80) },
          { title: 'NOTE', value: trigger => shortened(trigger.paused_reason ?? '', 100) },
        ],
        'there are no triggers; write one with: signalbox triggers put file.json',
      )
    })
}

function addVersions(triggers: Command, session: () => Session): void {
  triggers
    .command('versions <trigger>')
    .description('every version that a trigger had, newest first')
    .action(async (trigger_id: string) => {
      const all = await everyPage(async cursor => {
        const { versions, next_cursor } = await session().call('trigger.versions', {
          trigger_id,
          limit: mostAtOnce,
          cursor,
        })
        return { page: versions, next_cursor }
      })
      table(
        session().output,
        all,
        [
          {
            title: 'VERSION',
            value: version => `${version.version}${version.present ? ' (present)' : ''}`,
            style: version => (version.present ? 'green' : undefined),
          },
          { title: 'WRITTEN', value: version => time(version.created_at) },
          {
            title: 'STATE',
            value: version =>
              version.trigger === null
                ? 'damaged'
                : version.trigger.enabled === false
                  ? 'disabled'
                  : 'enabled',
          },
          {
            title: 'FILTER',
            value: version => (version.trigger === null ? '-' : shortened(version.trigger.filter, 100)),
          },
        ],
        'there are no versions',
      )
    })
}

function addPause(triggers: Command, session: () => Session): void {
  const show = (trigger: Trigger): void => record(session().output, trigger)
  triggers
    .command('pause <trigger>')
    .description('pause a trigger: its runs wait, running ones continue')
    .option('-r, --reason <text>', 'why; shown with the runs that wait')
    .action(async (trigger_id: string, { reason }: { reason?: string }) =>
      show((await session().call('trigger.pause', { trigger_id, reason })).trigger),
    )
  triggers
    .command('resume <trigger>')
    .description('resume a trigger: the runs that wait start in order')
    .option('-r, --reason <text>', 'why')
    .action(async (trigger_id: string, { reason }: { reason?: string }) =>
      show((await session().call('trigger.resume', { trigger_id, reason })).trigger),
    )
}

/** A trigger as a file has it; one that was shown and edited names the version that it was. */
function written(file: unknown): { trigger: TriggerInput; version?: number } {
  if (typeof file !== 'object' || file === null || Array.isArray(file))
    return { trigger: file as TriggerInput }
  const {
    version,
    created_at: _c,
    updated_at: _u,
    paused: _p,
    paused_reason: _r,
    paused_at: _a,
    ...trigger
  } = file as Partial<Trigger>
  return { trigger: trigger as TriggerInput, ...(version === undefined ? {} : { version }) }
}

export function addTriggers(program: Command, session: () => Session): void {
  const triggers = program.command('triggers').description('when to start what')
  const show = (trigger: Trigger): void => record(session().output, trigger)
  const put = async (params: TriggerPutParams): Promise<void> => {
    const { trigger, backtest, ...noted } = await session().call('trigger.put', params)
    printWarnings(noted)
    const { output } = session()
    if (backtest === undefined) show(trigger)
    else if (output.json) output.line(JSON.stringify({ trigger, backtest, ...noted }))
    else {
      output.line(
        `nothing was written; ${backtest.difference === undefined ? 'there is no such trigger yet' : `${trigger.id} would be version ${trigger.version}`}; the last 7 days:`,
      )
      printReport(output, backtest)
    }
  }
  addList(triggers, session)
  triggers
    .command('show <trigger>')
    .description('one trigger')
    .action(async (trigger_id: string) => show((await session().call('trigger.get', { trigger_id })).trigger))
  triggers
    .command('put <file>')
    .description('write a trigger from JSON; - for standard input')
    .option('--dry-run', 'write nothing: say what it would have done to the events of the last 7 days')
    .action((file: string, { dryRun }: { dryRun?: boolean }) =>
      put({ ...written(jsonFile(file, file)), dry_run: dryRun === true }),
    )
  addVersions(triggers, session)
  triggers
    .command('rollback <trigger> <version>')
    .description('write what a version was, as a new version')
    .option('--dry-run', 'write nothing: say what it would have done to the events of the last 7 days')
    .action((trigger_id: string, version: string, { dryRun }: { dryRun?: boolean }) =>
      put({ trigger_id, from_version: wholeNumber(version), dry_run: dryRun === true }),
    )
  triggers
    .command('delete <trigger>')
    .description('delete a trigger')
    .action(async (trigger_id: string) => {
      const { trigger } = await session().call('trigger.delete', { trigger_id })
      show(trigger)
      if (!session().output.json)
        session().output.line(
          `deleted; signalbox triggers rollback ${trigger.id} ${trigger.version} brings it back`,
        )
    })
  addPause(triggers, session)
  triggers
    .command('enable <trigger>')
    .description('let a trigger match again')
    .action(async (trigger_id: string) =>
      show((await session().call('trigger.enable', { trigger_id })).trigger),
    )
  triggers
    .command('disable <trigger>')
    .description('let it match nothing for now')
    .action(async (trigger_id: string) =>
      show((await session().call('trigger.disable', { trigger_id })).trigger),
    )
}
