// The tutorial: a webhook source, bots and triggers that show one idea each, and the lines that try them.
import { createHmac, randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, delimiter, dirname, join, relative } from 'node:path'
import { SignalboxClient } from '../client/client.ts'
import type { Methods } from '../contract/types.ts'
import type { Router } from '../main.ts'
import { defaultSocket, defaultStateDir, type Environment } from '../paths.ts'

const push = {
  ref: 'refs/heads/main',
  repository: { name: 'site', full_name: 'acme/site', html_url: 'http://forge.example/acme/site' },
  pusher: { login: 'ada' },
  commits: [
    {
      id: '4a7d1ed414474e4033ac29ccb8653d9b',
      message: 'Make the front page faster',
      author: { username: 'ada' },
    },
  ],
}

export interface DemoOptions {
  /** path of the command line that the lines to paste call */
  program: string
  env: Environment
}

interface DemoFiles {
  directory: string
  secret: string
  secretFile: string
  pushFile: string
  body: string
}

function writeFiles(stateDir: string): DemoFiles {
  const directory = join(stateDir, 'demo')
  mkdirSync(join(directory, 'written'), { recursive: true, mode: 0o700 })
  const secretFile = join(directory, 'forge.secret')
  if (!existsSync(secretFile))
    writeFileSync(secretFile, randomBytes(24).toString('base64url'), { mode: 0o600 })
  chmodSync(secretFile, 0o600)
  const pushFile = join(directory, 'push.json')
  const body = JSON.stringify(push, null, 2)
  writeFileSync(pushFile, body, { mode: 0o600 })
  return { directory, secret: readFileSync(secretFile, 'utf8').trim(), secretFile, pushFile, body }
}

const toMain = { type: ['push'], payload: { ref: ['refs/heads/main'] } }

const triggers: Methods['event.register']['params']['triggers'] = [
  {
    id: 'demo-1-hello',
    description: 'every push: a first round trip',
    filter: { type: ['push'] },
    action: { bot_id: 'demo-greeter', workflow_id: 'hello' },
  },
  {
    id: 'demo-2-inputs',
    description: 'the payload as inputs',
    filter: toMain,
    action: {
      bot_id: 'demo-echo',
      workflow_id: 'announce',
      inputs: {
        repo: '{{ payload.repository.full_name }}',
        commits: '{{ $count(payload.commits) }}',
        text: '{{ payload.pusher.login }} pushed to {{ payload.ref }}',
      },
    },
  },
  {
    id: 'demo-3-file',
    description: 'a bot that writes a file',
    filter: toMain,
    action: { bot_id: 'demo-scribe', workflow_id: 'write' },
  },
  {
    id: 'demo-4-release',
    description: 'does not match a push',
    filter: { type: ['release'], payload: { ref: [{ prefix: 'refs/tags/' }] } },
    action: { bot_id: 'demo-scribe', workflow_id: 'publish' },
  },
  {
    id: 'demo-5-tools',
    description: 'lists a shell, which is denied: the bot is not given it',
    filter: toMain,
    action: {
      bot_id: 'demo-echo',
      workflow_id: 'review',
      allowed_tools: ['Read', 'mcp__forgejo__list_issues', 'Bash(git:*)'],
    },
  },
]

async function register(client: SignalboxClient, { directory, secretFile }: DemoFiles): Promise<void> {
  const command = (id: string, description: string, script: string): Promise<unknown> =>
    client.call('bot.put', {
      bot: {
        id,
        description,
        endpoint: { kind: 'command', argv: ['/bin/sh', '-c', script], cwd: directory, timeout_ms: 10_000 },
      },
    })
  await command(
    'demo-greeter',
    'says hello: a first round trip',
    'cat > /dev/null; echo "hello from run $SIGNALBOX_RUN_ID"',
  )
  await command('demo-echo', 'prints the body that it was given', 'cat')
  await command(
    'demo-scribe',
    'writes what it was given into a file',
    'cat > "written/$SIGNALBOX_RUN_ID.json"',
  )
  await client.call('event.register', {
    source: {
      id: 'demo-forge',
      source_type: 'webhook',
      description: 'a Forgejo that signs its deliveries',
      config: { provider: 'forgejo', secrets: [{ file: secretFile }] },
    },
    triggers,
  })
}

/** A program as it is typed here: by its name where PATH finds it, else by the shorter of its paths. */
function asTyped(program: string, { PATH = '' }: Environment): string {
  if (PATH.split(delimiter).includes(dirname(program))) return basename(program)
  const near = relative(process.cwd(), program)
  if (near.length >= program.length) return program
  return near.includes('/') ? near : `./${near}`
}

function commandPrefix(router: Router, { program, env }: DemoOptions): string {
  const typed = asTyped(program, env)
  const usual = defaultSocket(
    { ...env, SIGNALBOX_SOCKET: undefined, SIGNALBOX_STATE_DIR: undefined },
    defaultStateDir({ ...env, SIGNALBOX_STATE_DIR: undefined }),
  )
  return router.socket === usual ? typed : `${typed} --socket ${router.socket}`
}

function printLines(
  router: Router,
  { body, secret, pushFile, directory }: DemoFiles,
  options: DemoOptions,
): void {
  const signature = createHmac('sha256', secret).update(body).digest('hex')
  const signalbox = commandPrefix(router, options)
  console.log(`
The tutorial is registered: source demo-forge, three bots, five triggers. Paste these into another terminal, in this
directory.

1. Deliver a signed Forgejo push. It answers with the event, the triggers that matched and their runs (pasted again, it is
a new delivery of the same signed body, which the answer calls redelivery_of):

curl -sS -w '\\n' -X POST ${router.intake}/webhook/demo-forge -H 'Content-Type: application/json' -H 'X-Forgejo-Event-Type: push' -H "X-Forgejo-Delivery: demo-$(date +%s)" -H 'X-Forgejo-Signature: ${signature}' --data-binary @${pushFile}

2. See the bots' runs, everything about one of them, what it printed, what another was given as inputs, what the third wrote, and
the router at a glance:

${signalbox} runs --event last
${signalbox} runs show last
${signalbox} runs logs last
${signalbox} test --trigger demo-2-inputs --event last
ls ${directory}/written
${signalbox} status

3. One trigger did not start its bot. Ask why:

${signalbox} explain last demo-4-release

4. One trigger lists a tool that agents are denied, a shell. The run does without it; explain says why, and the delivery
that demo-echo printed has allowed_tools without it:

${signalbox} explain last demo-5-tools
${signalbox} runs list --trigger demo-5-tools --limit 1 --json

Only allowed_denied_tools in the router's configuration can allow it again: neither the trigger nor the bot can.

5. Hand in an event without any webhook:

${signalbox} emit demo-forge push --payload '{"ref": "refs/heads/next"}'

6. See all of it in a browser; the command prints a link and opens it where there is a screen:

${signalbox} ui
`)
}

/** Registers the tutorial with a running router (again, if it is there) and prints what to try. */
export async function registerDemo(router: Router, options: DemoOptions): Promise<void> {
  const files = writeFiles(router.config.state_dir)
  const client = await SignalboxClient.connect(router.socket)
  try {
    await register(client, files)
  } finally {
    client.close()
  }
  printLines(router, files, options)
}
