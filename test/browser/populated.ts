// A router with something on every screen, much of it written by strangers who want to break the page.
import type { PageRouter } from '../support/page.ts'
import { pageRouter } from '../support/page.ts'
import { until } from '../support/router.ts'

/** Texts that a page must show as text. */
export const corpus = [
  '<img src=x onerror=alert(1)>',
  '<script>alert(1)</script>',
  '"><svg onload=alert(1)>',
  'javascript:alert(1)',
  "';alert(1)//",
  '{{constructor.constructor("alert(1)")()}}',
  '\u202Egnp.exe\u202C \u2066hidden\u2069',
  'bell\u0007 escape\u001b[31m null\u0000',
  'zero\u200bwidth\ufeff \u{e0041}tag',
  'x'.repeat(300),
]

export interface Populated extends PageRouter {
  ids: { event: string; run: string; dead: string; waiting: string }
}

export async function populated(): Promise<Populated> {
  const router = await pageRouter({ rate_limit: 1_000_000 })
  const { call } = router
  const command = (id: string, script: string): Promise<unknown> =>
    call('bot.put', {
      bot: { id, description: corpus[0]!, endpoint: { kind: 'command', argv: ['/bin/sh', '-c', script] } },
    })
  await command(
    'printer',
    `cat > /dev/null; printf '%s\\n' '${corpus.slice(0, 5).join(' ').replaceAll("'", '')}'; printf '\\033[31mred\\033[0m\\n'; echo warning >&2; echo '{"big": 813683310949021977}'`,
  )
  await command('failer', 'echo "<b>no</b> model key" >&2; exit 3')
  await call('bot.put', { bot: { id: 'worker', endpoint: { kind: 'pull' }, capabilities: ['review'] } })
  await call('queue.put', { queue: { id: 'deploys', max_active: 1, description: corpus[1]! } })
  await call('source.put', {
    source: { id: 'forge', source_type: 'webhook', description: corpus[2]!, config: { provider: 'none' } },
  })
  await call('source.put', {
    source: {
      id: 'signed',
      source_type: 'webhook',
      config: { provider: 'bearer', secrets: [{ env: 'HOME' }] },
    },
  })
  await call('source.put', {
    source: {
      id: 'nightly',
      source_type: 'cron',
      config: { expression: '0 3 * * *', timezone: 'Europe/Berlin' },
    },
  })
  await call('source.put', { source: { id: 'button', source_type: 'manual' } })
  const on = (id: string, type: string, bot_id: string, policy: object = {}): Promise<unknown> =>
    call('trigger.put', {
      trigger: {
        id,
        description: corpus[3]!,
        event_source_id: 'forge',
        filter: { type: [type] },
        action: { bot_id, workflow_id: 'work' },
        policy,
      },
    })
  await on('print', 'push', 'printer')
  await on('fail', 'issues', 'failer', { retry: 'none' })
  await on('deploy', 'release', 'printer', { approval: {}, queue: 'deploys' })
  await on('wait', 'wait', 'worker')
  await call('router.apply', {
    file_set: 'files',
    triggers: [{ id: 'managed', filter: { type: ['never'] }, action: { bot_id: 'printer' } }],
  })
  // Threads and accounts must have no control characters: those are refused.
  const named = (text: string): { thread?: string; actor?: string } =>
    /^[ -~]+$/.test(text) ? { thread: text.slice(0, 100), actor: text.slice(0, 100) } : {}
  const emit = async (type: string, text: string): Promise<{ event_id: string; runs: string[] }> =>
    call('event.emit', {
      source_id: 'forge',
      type,
      headers: { 'x-evil': text.replaceAll(/[^ -~]/g, '') },
      subject: text,
      ...named(text),
      payload: { text, nested: { [text.slice(0, 60)]: text } },
    })
  for (const text of corpus) await emit('push', text.replaceAll('\u0000', '\u0001'))
  const printed = await emit('push', corpus[0]!)
  const failed = await emit('issues', corpus[1]!)
  const waiting = await emit('release', corpus[6]!)
  await emit('wait', 'x')
  await emit('nothing', 'matches nothing')
  await router.post('signed', '{}')
  await router.post('missing', '{}')
  const [run, dead] = [printed.runs[0]!, failed.runs[0]!]
  await until(async () => (await call('run.get', { run_id: run })).run.state === 'completed')
  await until(async () => (await call('run.get', { run_id: dead })).run.dead)
  return { ...router, ids: { event: printed.event_id, run, dead, waiting: waiting.runs[0]! } }
}

/** The address of every screen. */
export function addresses({ ids: { event, run, dead, waiting } }: Populated): string[] {
  return [
    'overview',
    'events',
    `events/${event}`,
    `events/${event}?tab=raw`,
    `events/${event}?tab=causes`,
    'refused',
    'runs',
    `runs/${run}`,
    `runs/${run}?tab=request`,
    `runs/${run}?tab=history`,
    `runs/${dead}?tab=response`,
    'approvals',
    `approvals/${waiting}`,
    'dead-letters',
    'triggers',
    'triggers/print',
    'triggers/print?tab=code',
    'triggers/managed',
    `triggers/new?event=${event}`,
    'sources',
    'sources/forge',
    'sources/new',
    'schedules',
    'bots',
    'bots/worker',
    'bots/queue/deploys',
    'settings',
    'settings?tab=router',
    'settings?tab=tokens',
    'settings?tab=logins',
    'settings?tab=audit',
  ]
}
