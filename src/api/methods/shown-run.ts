// Runs and bots in the form of answers.
import { microPerUsd } from '../../contract/budgets.ts'
import type { Bot, Run, UsageTotals } from '../../contract/types.ts'
import { exactJson } from '../../exact-json.ts'
import { chosenBot, type StoredRun } from '../../store/store.ts'
import type { Context, RunControl } from './context.ts'

/** A bot with what is known of it now. */
export function liveBot({ runs, availabilities }: Pick<Context, 'runs' | 'availabilities'>, bot: Bot): Bot {
  const { drained, drained_reason } = availabilities.status(bot.id)
  const reason = availabilities.reason(bot.id)
  const last_heard_at = availabilities.lastHeardAt(bot.id)
  return {
    ...bot,
    health: runs.botHealth(bot.id),
    active: runs.botActive(bot.id),
    availability: availabilities.availability(bot),
    ...(reason === null ? {} : { availability_reason: reason }),
    drained,
    ...(drained_reason === null ? {} : { drained_reason }),
    ...(last_heard_at === undefined ? {} : { last_heard_at }),
  }
}

function asJson(text: string): unknown {
  try {
    return exactJson(text)
  } catch {
    return text
  }
}

const waitingStates = new Set<Run['state']>(['pending', 'held', 'awaiting_approval', 'paused'])

/** What keeps a run that waits. */
export function waitingOf(
  { runs }: Pick<Context, 'runs'>,
  run: StoredRun,
): ReturnType<RunControl['waitingFor']> {
  return waitingStates.has(run.state) ? runs.waitingFor(run) : undefined
}

/** Converts stored usage to the form of an answer: the cost in US dollars instead of millionths. */
export function shownUsage({
  input_tokens,
  output_tokens,
  cost_micro_usd,
  unreported,
}: NonNullable<StoredRun['usage']>): UsageTotals {
  return { input_tokens, output_tokens, cost_usd: cost_micro_usd / microPerUsd, unreported }
}

export function shownRun(context: Pick<Context, 'runs'>, run: StoredRun): Run {
  const waiting = waitingOf(context, run)
  return {
    id: run.id,
    event_id: run.event_id,
    trigger_id: run.trigger_id,
    trigger_version: run.trigger_version,
    bot_id: chosenBot(run),
    queue: run.queue === '' ? null : run.queue,
    workflow_id: run.workflow_id,
    state: run.state,
    dead: run.dead,
    replay: run.replay,
    ...(run.requested_by === null ? {} : { requested_by: run.requested_by }),
    priority: run.priority,
    attempt: run.attempt,
    not_before: run.not_before,
    created_at: run.created_at,
    updated_at: run.updated_at,
    ...(run.finished_at === null ? {} : { finished_at: run.finished_at }),
    ...(run.cancel_requested ? { cancel_requested: true } : {}),
    ...(run.pause_requested ? { pause_requested: true } : {}),
    ...(run.deadline_at === null ? {} : { deadline_at: run.deadline_at, deadline_name: run.deadline_name! }),
    ...(run.denials === 0 ? {} : { denials: run.denials }),
    ...(run.event_count === undefined ? {} : { events: run.event_count }),
    ...(run.allowed_tools === null ? {} : { allowed_tools: run.allowed_tools }),
    ...(run.assignment === null ? {} : { assignment: run.assignment }),
    ...(waiting === undefined ? {} : { waiting_for: waiting.detail }),
    ...(run.held_by === null ? {} : { held_by: run.held_by }),
    ...(run.progress === undefined ? {} : { progress: run.progress }),
    ...(run.usage === undefined ? {} : { usage: shownUsage(run.usage) }),
    ...(run.error === null ? {} : { error: run.error }),
    ...(run.damaged === undefined ? {} : { damaged: run.damaged }),
    ...(run.result === null ? {} : { result: asJson(run.result) }),
  }
}
