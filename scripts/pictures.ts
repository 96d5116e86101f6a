// The pictures of docs/page.md: a router with a day's work in it, seen in a real browser. node scripts/pictures.ts writes docs/pictures/.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type Page } from 'playwright-core'
import { SignalboxClient } from '../src/client/client.ts'
import { readConfig } from '../src/config.ts'
import { startRouter } from '../src/main.ts'

const pictures = fileURLToPath(new URL('../docs/pictures/', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'sb-pictures-'))
const env = {
  HOME: directory,
  SIGNALBOX_ADMIN_TOKEN: 'a-token-for-pictures-of-forty-characters-01',
  FORGE_SECRET: 'not a secret',
}

type Call = SignalboxClient['call']

async function define(call: SignalboxClient): Promise<void> {
  const command = (id: string, script: string): Promise<unknown> =>
    call.call('bot.put', {
      bot: { id, endpoint: { kind: 'command', argv: ['/bin/sh', '-c', `cat > /dev/null; ${script}`] } },
    })
  await command('reviewer', 'echo "reading the diff"; echo "model api key missing" >&2; exit 3')
  await command('deployer', 'echo done')
  await command('labeler', 'echo labelled')
  await command(
    'coder',
    'echo "Read src/build.ts"; sleep 0.3; echo "Edit src/build.ts (+4 -1)"; sleep 0.3; echo "npm test"; sleep 0.2; echo "arm64: expected 0, got 1" >&2; echo "Plan: 3 of 5 done. Pin the toolchain for arm64"; sleep 600',
  )
  const secrets = [{ env: 'FORGE_SECRET' }]
  await call.call('source.put', {
    source: { id: 'forge', source_type: 'webhook', config: { provider: 'forgejo', secrets } },
  })
  await call.call('source.put', {
    source: {
      id: 'nightly',
      source_type: 'cron',
      config: { expression: '0 3 * * *', timezone: 'Europe/Berlin' },
    },
  })
  const on = (
    id: string,
    filter: object,
    bot_id: string,
    policy: object = {},
    inputs?: Record<string, string>,
  ): Promise<unknown> =>
    call.call('trigger.put', {
      trigger: {
        id,
        event_source_id: 'forge',
        filter: filter as Record<string, unknown>,
        action: { bot_id, workflow_id: id, ...(inputs && { inputs }) },
        policy,
      },
    })
  await on('review-pull-request', { type: ['pull_request'], payload: { action: ['opened'] } }, 'reviewer', {
    retry: 'none',
  })
  await on(
    'deploy-site',
    { type: ['push'], payload: { ref: ['refs/heads/main'] } },
    'deployer',
    { approval: { timeout_ms: 3_600_000 } },
    {
      repo: '{{ payload.repository.full_name }}',
      commit: '{{ payload.after }}',
      message: '{{ payload.message }}',
    },
  )
  await on(
    'coder-mention',
    { type: ['issue_comment'], payload: { comment: { body: [{ prefix: '@coder' }] } } },
    'coder',
  )
  await on(
    'label-triage',
    {
      type: ['issues'],
      payload: { repository: { full_name: [{ prefix: 'acme/' }] }, issue: { labels: { name: ['agent'] } } },
    },
    'labeler',
  )
}

async function work(client: SignalboxClient): Promise<{ event: string; run: string; waiting: string }> {
  const emit = (type: string, actor: string, thread: string, payload: object): ReturnType<Call> =>
    client.call('event.emit', { source_id: 'forge', type, actor, thread, payload }) as ReturnType<Call>
  const repository = (full_name: string): object => ({ repository: { id: 4711, full_name } })
  const issue = (number: number, label: string): object => ({
    action: 'label_updated',
    issue: { number, title: 'Build fails on arm64', labels: [{ name: label }, { name: 'ci' }] },
    ...repository('acme/api'),
    sender: { login: 'grace' },
  })
  for (let number = 70; number < 91; number++)
    await emit('issues', 'grace', `acme/api#${number}`, issue(number, 'agent'))
  for (const number of [84, 86, 88])
    await emit('pull_request', 'ada', `acme/api!${number}`, {
      action: 'opened',
      number,
      ...repository('acme/api'),
    })
  const push = (await emit('push', 'ada', 'acme/site@refs/heads/main', {
    ref: 'refs/heads/main',
    after: 'b1946ac92492d2347c6235b4d2611184',
    message: 'Pin the toolchain',
    ...repository('acme/site'),
  })) as { runs: string[] }
  const missed = (await emit('issues', 'grace', 'acme/api#91', issue(91, 'bug'))) as { event_id: string }
  const asked = (await emit('issue_comment', 'ada', 'acme/site#12', {
    action: 'created',
    comment: { body: '@coder fix the failing test' },
    issue: { number: 12 },
    ...repository('acme/site'),
  })) as { runs: string[] }
  return { event: missed.event_id, run: asked.runs[0]!, waiting: push.runs[0]! }
}

async function loggedIn(
  browser: Browser,
  client: SignalboxClient,
  admin: string,
  width: number,
  height: number,
  scheme: 'light' | 'dark',
): Promise<Page> {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme })
  const page = await context.newPage()
  const { url } = await client.call('login.create', { role: 'admin' })
  await page.goto(`${admin}/#login=${url.split('#login=')[1]}`)
  await page.locator('.frame').waitFor()
  return page
}

const config = readConfig(env, {
  state_dir: directory,
  socket: join(directory, 's'),
  intake_address: '127.0.0.1:0',
  admin_address: '127.0.0.1:0',
  log_level: 'silent',
})
const router = await startRouter(config, { env, onFatal: message => console.error(message) })
const client = await SignalboxClient.connect(router.socket)
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
})
try {
  await define(client)
  const { event, run, waiting } = await work(client)
  mkdirSync(pictures, { recursive: true })
  const take = async (page: Page, path: string, name: string): Promise<void> => {
    await page.goto(`${router.admin}/${path}`)
    await page.locator('h1').waitFor()
    await pause(2500)
    await page.screenshot({ path: `${pictures}${name}.png` })
  }
  const claims = await loggedIn(browser, client, router.admin!, 1280, 800, 'light')
  await take(claims, 'overview?span=1h', 'overview')
  await take(claims, `events/${event}`, 'event')
  await take(claims, `triggers/label-triage?event=${event}`, 'editor')
  await take(await loggedIn(browser, client, router.admin!, 1280, 800, 'dark'), `runs/${run}`, 'run')
  await take(
    await loggedIn(browser, client, router.admin!, 390, 844, 'light'),
    `approvals/${waiting}`,
    'approval',
  )
} finally {
  await browser.close()
  client.close()
  await router.stop()
  rmSync(directory, { recursive: true, force: true })
}
process.exit(0)
