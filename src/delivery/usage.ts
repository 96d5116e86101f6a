// What bots report that they used: http and command bots in the JSON that they answer or print, workers in their calls. Pure.
import { microPerUsd, usageReport } from '../contract/budgets.ts'
import type { Usage } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { UsageReport, UsageTotals } from '../store/store.ts'
import { answerValue } from './answer-json.ts'

/** What a worker reports of a run that it keeps. */
export interface Extension {
  note?: string
  progress?: { percent?: number; message?: string } | undefined
  paused?: boolean | undefined
  usage?: UsageReport | undefined
}

const mostTokens = 1_000_000_000_000
const mostUsd = 1_000_000

function isAmount(value: unknown, most: number): value is number {
  return typeof value === 'number' && value >= 0 && value <= most
}

/**
 * The usage in a result: the member usage of a JSON object. Members of it that are not known are passed over, since agents print
 * more than these; undefined where none of the three figures is there, or one of them is no amount: the attempt has then reported nothing.
 */
export function usageOfResult(text: string | null): UsageReport | undefined {
  if (text === null || !text.includes('"usage"')) return undefined
  const result = answerValue(text)?.value
  const { usage } = (typeof result === 'object' && result !== null ? result : {}) as { usage?: unknown }
  if (typeof usage !== 'object' || usage === null) return undefined
  const { input_tokens, output_tokens, cost_usd } = usage as Record<string, unknown>
  const tokens = (value: unknown): boolean =>
    value === undefined || (isAmount(value, mostTokens) && Number.isInteger(value))
  if (
    !tokens(input_tokens) ||
    !tokens(output_tokens) ||
    (cost_usd !== undefined && !isAmount(cost_usd, mostUsd))
  )
    return undefined
  const report = usageReport({ input_tokens, output_tokens, cost_usd } as Usage)
  return Object.keys(report).length === 0 ? undefined : report
}

/** The answer to a report that is smaller than the last one, which stays. */
export function usageShrank({ input_tokens, output_tokens, cost_micro_usd }: UsageTotals): Fault {
  const last = `input_tokens ${input_tokens}, output_tokens ${output_tokens}, cost_usd ${cost_micro_usd / microPerUsd}`
  return new Fault(
    'invalid_params',
    `usage must be the total of the attempt so far, and never less than the last report, which was ${last}; nothing was changed`,
    {
      data: { path: 'usage' },
    },
  )
}
