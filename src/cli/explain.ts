// signalbox explain: why an event did or did not start something.
import type { Command } from 'commander'
import type { Condition, ExplainedDecision } from '../client/client.ts'
import { shownTool } from '../tools.ts'
import { paint, shortened, type Output } from './output.ts'
import { UsageError, wholeNumber, type Session } from './session.ts'

function mark(output: Output, holds: boolean): string {
  return holds ? paint(output, 'green', '✓') : paint(output, 'red', '✗')
}

function expectation({ operator, expected }: Condition): string {
  return operator === 'equals'
    ? shortened(expected === null || typeof expected !== 'string' ? expected : JSON.stringify(expected))
    : `${operator} ${shortened(JSON.stringify(expected))}`
}

function foundText({ found, hint }: Condition): string {
  if (found.length === 0)
    return hint === undefined ? 'nothing there' : `nothing there; did you mean ${shortened(hint)}?`
  return `found ${found.map(value => shortened(JSON.stringify(value), 50)).join(', ')}`
}

/** The conditions of a filter as a tree: a line per field, and one per alternative where a field has several. */
export function printConditions(output: Output, conditions: readonly Condition[], indent: string): void {
  const branches = [...new Set(conditions.map(condition => condition.branch))]
  for (const branch of branches) {
    const own = conditions.filter(condition => condition.branch === branch)
    if (branches.length > 1) output.line(`${indent}way ${branch + 1} through $or`)
    const inner = branches.length > 1 ? `${indent}  ` : indent
    for (const path of new Set(own.map(condition => condition.path))) {
      const field = own.filter(condition => condition.path === path)
      const [first] = field
      const alone = field.length === 1 ? ` ${expectation(first!)}` : ' any of'
      output.line(
        `${inner}${mark(output, first!.field_holds)} ${paint(output, 'bold', shortened(path))}${alone}   ${paint(output, 'dim', foundText(first!))}`,
      )
      if (field.length > 1)
        for (const condition of field)
          output.line(`${inner}    ${mark(output, condition.holds)} ${expectation(condition)}`)
    }
  }
}

/** What stopped a run though the filter matched. */
function stopper({ matched, gates }: ExplainedDecision): string | undefined {
  return matched ? gates.find(gate => gate.verdict === 'stop')?.detail : undefined
}

function printDecision(output: Output, decision: ExplainedDecision): void {
  const stopped = stopper(decision)
  const title = `${decision.trigger_id} ${paint(output, 'dim', `v${decision.trigger_version}`)}`
  const verdict =
    stopped === undefined
      ? `${decision.matched ? 'matched' : 'did not match'}: ${shortened(decision.reason, 200)}`
      : `would match, but ${shortened(stopped, 200)}`
  const sign = stopped === undefined ? mark(output, decision.matched) : paint(output, 'red', '■')
  output.line(`${sign} ${paint(output, 'bold', title)}  ${verdict}`)
  printConditions(output, decision.conditions, '    ')
  const worth = decision.gates.filter(gate => gate.verdict !== 'pass' || gate.gate === 'outbox')
  for (const gate of worth.filter(each => each.gate !== 'filter')) {
    const sign =
      gate.verdict === 'pass'
        ? paint(output, 'green', '→')
        : gate.verdict === 'hold'
          ? paint(output, 'yellow', '‖')
          : paint(output, 'red', '■')
    output.line(
      `    ${sign} ${gate.gate}: ${shortened(gate.error === undefined ? gate.detail : `${gate.detail}: ${gate.error}`, 200)}`,
    )
  }
  printCut(output, decision)
}

function printCut(output: Output, { matched, cut_tools = [] }: ExplainedDecision): void {
  if (!matched) return
  for (const { tool, reason } of cut_tools)
    output.line(
      `    ${paint(output, 'yellow', '−')} tool ${shownTool(tool)} is removed: ${shortened(reason, 200)}`,
    )
}

export function addExplain(program: Command, session: () => Session): void {
  program
    .command('explain <event> [trigger]')
    .description(
      'why an event (or "last") did or did not start something; without a trigger all of its source, nearest miss first',
    )
    .option('--at-version <number>', 'the trigger as it was at a version', wholeNumber)
    .action(async (event: string, trigger_id: string | undefined, { atVersion }: { atVersion?: number }) => {
      if (atVersion !== undefined && trigger_id === undefined)
        throw new UsageError('--at-version is of one trigger')
      const current = session()
      const { output } = current
      const { decisions, omitted } = await current.call('event.explain', {
        event_id: await current.eventId(event),
        trigger_id,
        trigger_version: atVersion,
      })
      if (output.json) for (const decision of decisions) output.line(JSON.stringify(decision))
      else if (decisions.length === 0)
        output.line('no trigger listens to the source of this event; signalbox triggers shows all')
      else for (const decision of decisions) printDecision(output, decision)
      if (omitted !== undefined && !output.json)
        output.line(paint(output, 'dim', `and ${omitted} triggers that are farther from matching`))
    })
}
