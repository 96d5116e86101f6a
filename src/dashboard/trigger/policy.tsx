// The policy of a trigger: the parts that are used most as fields, the others by name.
import type { JSX } from 'preact'
import { Field } from '../parts/basic.tsx'
import { oneLine } from '../text.ts'
import { valueAt } from './draft.ts'
import { NumberField, problemAt, TextInput, type FormProps } from './fields.tsx'

const shown = new Set(['approval', 'concurrency', 'rate_limit', 'debounce', 'retry', 'timeout_ms'])
const hourMs = 3_600_000

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function ApprovalFields({ editor, trigger }: FormProps): JSX.Element {
  const approval = valueAt(trigger, ['policy', 'approval'])
  const bot = valueAt(trigger, ['policy', 'approval', 'bot_id'])
  // Set as a whole: without its last member it must stay, or runs would start unasked.
  const setTimeoutMs = (timeout_ms: number | undefined): void => {
    const { timeout_ms: _old, ...others } = isObject(approval) ? approval : {}
    editor.set(['policy', 'approval'], timeout_ms === undefined ? others : { ...others, timeout_ms })
  }
  return (
    <>
      <label class="check">
        <input
          type="checkbox"
          checked={approval !== undefined}
          onChange={({ currentTarget: { checked } }) =>
            editor.set(['policy', 'approval'], checked ? { timeout_ms: hourMs } : undefined)
          }
        />
        <span>
          {typeof bot === 'string'
            ? `The bot ${oneLine(bot, 64)} must approve each run`
            : 'A person must approve each run'}
        </span>
      </label>
      {approval === undefined ? null : (
        <NumberField
          {...{ editor, trigger }}
          path={['policy', 'approval', 'timeout_ms']}
          label="Denied after"
          isTime
          hint={typeof bot === 'string' ? 'Default: 60,000' : 'Empty: the run waits until it is decided'}
          commit={setTimeoutMs}
        />
      )}
    </>
  )
}

function RetryField({ editor, trigger }: FormProps): JSX.Element {
  const retry = valueAt(trigger, ['policy', 'retry'])
  const problem = problemAt(editor, ['policy', 'retry'])
  const isOwn = Array.isArray(retry)
  return (
    <>
      <Field label="Retries" hint={isOwn ? undefined : problem}>
        <select
          value={isOwn ? 'own' : typeof retry === 'string' ? retry : ''}
          onChange={({ currentTarget: { value } }) =>
            editor.set(
              ['policy', 'retry'],
              value === 'own' ? [0, 5000, 60_000] : value === '' ? undefined : value,
            )
          }
        >
          <option value="">as the bot has it</option>
          <option>default</option>
          <option>standard-webhooks</option>
          <option>none</option>
          <option value="own">waits of its own</option>
        </select>
      </Field>
      {isOwn ? (
        <Field
          label="Wait before each attempt (ms)"
          hint={problem ?? 'Separated by commas. The first is the wait before the first attempt.'}
        >
          <TextInput
            value={retry.join(', ')}
            isCode
            isInvalid={problem !== undefined}
            commit={text =>
              editor.set(
                ['policy', 'retry'],
                text
                  .split(',')
                  .filter(each => each.trim() !== '')
                  .map(Number),
              )
            }
          />
        </Field>
      ) : null}
    </>
  )
}

export function PolicyFields({ editor, trigger }: FormProps): JSX.Element {
  const common = { editor, trigger }
  const policy = isObject(trigger.policy) ? trigger.policy : {}
  const others = Object.keys(policy).filter(key => !shown.has(key))
  const keyOf = (part: string): string | undefined => {
    const key = valueAt(policy, [part, 'key'])
    return typeof key === 'string' ? `For each ${oneLine(key, 60)}` : undefined
  }
  const setLimit = (limit: number | undefined): void => {
    const rate = valueAt(policy, ['rate_limit'])
    editor.set(
      ['policy', 'rate_limit'],
      limit === undefined ? undefined : { period_ms: hourMs, ...(isObject(rate) ? rate : {}), limit },
    )
  }
  return (
    <details open={trigger.policy !== undefined}>
      <summary class="field-label">Policy: how its runs go</summary>
      <div class="form">
        <ApprovalFields {...common} />
        <NumberField
          {...common}
          path={['policy', 'concurrency', 'limit']}
          label="Runs at the same time"
          hint={keyOf('concurrency') ?? 'Concurrency. Empty: no limit'}
          commit={limit =>
            editor.set(
              limit === undefined ? ['policy', 'concurrency'] : ['policy', 'concurrency', 'limit'],
              limit,
            )
          }
        />
        <div class="fields">
          <NumberField
            {...common}
            path={['policy', 'rate_limit', 'limit']}
            label="Rate limit: runs"
            hint={keyOf('rate_limit') ?? 'Further events make no run'}
            commit={setLimit}
          />
          <NumberField {...common} path={['policy', 'rate_limit', 'period_ms']} label="in any" isTime />
        </div>
        <NumberField
          {...common}
          path={['policy', 'debounce', 'period_ms']}
          label="Debounce: wait for quiet"
          isTime
          hint={keyOf('debounce') ?? 'Events within this time make one run'}
          commit={period =>
            editor.set(
              period === undefined ? ['policy', 'debounce'] : ['policy', 'debounce', 'period_ms'],
              period,
            )
          }
        />
        <NumberField
          {...common}
          path={['policy', 'timeout_ms']}
          label="Timeout of an attempt"
          isTime
          hint="Empty: the bot’s own"
        />
        <RetryField {...common} />
        {others.length === 0 ? null : (
          <p class="small muted">
            Also in the policy, and edited in the code: <code>{oneLine(others.join(', '))}</code>
          </p>
        )}
      </div>
    </details>
  )
}
