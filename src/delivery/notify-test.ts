// A test message to people, sent through the endpoint of a notify bot without a run: its templates are left out, because there is no
// event to fill them in.
import { randomUUID } from 'node:crypto'
import type { BotNotifyTestResult, Config, NotifyEndpoint } from '../contract/types.ts'
import type { AttemptOptions } from './attempt-options.ts'
import { cut, visible } from './bots/notify-text.ts'

/** What is shown of an answer. */
const mostShown = 2000

/** Sends a test message; what the service answered, without the secrets that the router knows. */
export function notifyTest(
  { notify }: Pick<AttemptOptions['kinds'], 'notify'>,
  { delivery_timeout_ms }: Pick<Config, 'delivery_timeout_ms'>,
  redact: AttemptOptions['redact'],
): (bot_id: string, endpoint: NotifyEndpoint) => Promise<BotNotifyTestResult> {
  return async (bot_id, { title: _title, text: _text, priority: _priority, link: _link, ...endpoint }) => {
    const event = { source_id: 'router', type: 'notify.test', subject: bot_id, payload: {} }
    const result = await notify.deliver(endpoint, {
      id: randomUUID(),
      own: null,
      callback: null,
      capture: null,
      made: () => undefined,
      run_id: '',
      event_id: '',
      trigger_id: '',
      workflow_id: null,
      attempt: 1,
      context: [],
      depth: 1,
      body: '',
      scope: () => ({ event }),
      timeout_ms: endpoint.timeout_ms ?? delivery_timeout_ms,
      signal: new AbortController().signal,
    })
    const common = { bot_id, preset: endpoint.preset, accepted: result.outcome === 'success' }
    if (result.outcome === 'aborted') return { ...common, error: 'the router is shutting down' }
    const { status, output } = result
    const said = {
      ...(status === null ? {} : { status }),
      ...(output === '' ? {} : { answer: cut(visible(redact(output)), mostShown) }),
    }
    if (result.outcome !== 'failure') return { ...common, ...said }
    const { error, retry_after_ms } = result
    return {
      ...common,
      ...said,
      error: redact(error),
      ...(retry_after_ms === undefined ? {} : { retry_after_ms }),
    }
  }
}
