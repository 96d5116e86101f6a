// Connecting a Forgejo: the command that does it, and waiting for the first delivery. The API token stays with the command: it never
// goes through the page.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { now } from '../load.ts'
import { Button, Card, copyText, Field, Lamp } from '../parts/basic.tsx'
import { href } from '../router.ts'
import { status } from '../status.ts'
import { listen } from '../stream/hub.ts'
import { duration } from '../text.ts'
import { connectCommand, connectionProblems, isOrganisation, type Connection } from './connect-command.ts'

const patienceMs = 60_000

type Waiting = { source_id: string; since: number; event_id?: string } | undefined

/** What is asked for, in order. */
const fields: readonly (readonly [name: keyof Connection, label: string, hint: string])[] = [
  ['forge', 'Forge', ''],
  ['target', 'Repository, or organisation', 'acme/site, or acme for all repositories of an organisation'],
  ['source_id', 'Source', 'It is created, with a new secret, where it does not exist.'],
  [
    'webhook_url',
    'Address of the source, as the forge reaches it (optional)',
    'Default: the address that the intake listens at.',
  ],
]

/** source_id: of the source that it is for; undefined: it is asked for */
export function Connect({ source_id }: { source_id?: string }): JSX.Element {
  const form = useSignal<Connection>({
    forge: 'https://forge.example.org',
    target: 'owner/repo',
    source_id: source_id ?? 'forge',
    webhook_url: '',
  })
  const waiting = useSignal<Waiting>(undefined)
  useEffect(
    () =>
      listen(message => {
        const current = waiting.peek()
        if (message.kind !== 'event' || current === undefined || current.event_id !== undefined) return
        // An event that was emitted by hand is no delivery of the forge.
        if (message.event.source_id === current.source_id && message.event.emitted !== true)
          waiting.value = { ...current, event_id: message.event.id }
      }),
    [],
  )
  const problems = connectionProblems(form.value)
  const isComplete = Object.keys(problems).length === 0
  const command = connectCommand(form.value)
  const wait = (): void => void (waiting.value = { source_id: form.value.source_id, since: Date.now() })
  const isSocket = status.value?.intake_address.startsWith('/') === true && form.value.webhook_url === ''
  return (
    <Card title="Connect a Forgejo">
      <div class="form">
        {fields
          .filter(([name]) => name !== 'source_id' || source_id === undefined)
          .map(([name, label, hint]) => (
            <Field key={name} label={label} hint={problems[name] ?? hint}>
              <input
                value={form.value[name]}
                spellcheck={false}
                aria-invalid={problems[name] !== undefined}
                onInput={event => (form.value = { ...form.value, [name]: event.currentTarget.value.trim() })}
              />
            </Field>
          ))}
      </div>
      <p class="small">
        Run this where the router runs. <code>forgejo.token</code> holds an API token of the forge with the
        scope <code>{isOrganisation(form.value) ? 'write:organization' : 'write:repository'}</code>, and only
        you may read it: <code>chmod 600</code>.
      </p>
      {isSocket ? (
        <Lamp kind="caution">
          The intake listens on a socket: fill in the address, as the forge reaches it.
        </Lamp>
      ) : null}
      <pre class="command">{command}</pre>
      <div class="actions">
        <Button
          look="primary"
          disabled={!isComplete}
          onClick={() => {
            void copyText(command, 'command')
            wait()
          }}
        >
          Copy, and wait for a delivery
        </Button>
        <Button disabled={!isComplete} onClick={wait}>
          Wait for a delivery
        </Button>
      </div>
      <Arrival waiting={waiting.value} isOrganisation={isOrganisation(form.value)} />
    </Card>
  )
}

function Arrival({
  waiting,
  isOrganisation: hasNoTest,
}: {
  waiting: Waiting
  isOrganisation: boolean
}): JSX.Element {
  const passed = waiting === undefined ? 0 : Math.max(0, now.value - waiting.since)
  return (
    <>
      <div role="status" class="stack small">
        {waiting === undefined ? null : waiting.event_id !== undefined ? (
          <p>
            <Lamp kind="clear">a delivery arrived</Lamp>{' '}
            <a href={href('events', waiting.event_id)}>Look at it</a> ·{' '}
            <a href={href('sources', waiting.source_id)}>{waiting.source_id}</a>
          </p>
        ) : passed < patienceMs ? (
          <p>
            <Lamp kind="active">waiting for a delivery to {waiting.source_id}</Lamp>
            {hasNoTest
              ? ' The forge makes no test delivery for an organisation: push a commit to one of its repositories.'
              : ''}
          </p>
        ) : (
          <NothingCame source_id={waiting.source_id} />
        )}
      </div>
      {waiting === undefined || waiting.event_id !== undefined ? null : (
        <p class="muted small figure">{duration(passed)}</p>
      )}
    </>
  )
}

function NothingCame({ source_id }: { source_id: string }): JSX.Element {
  return (
    <>
      <Lamp kind="caution">No delivery arrived within a minute</Lamp>
      <p>The page still waits. Look at this:</p>
      <ul class="points">
        <li>
          Forgejo refuses to deliver to loopback and private addresses, unless{' '}
          <code>[webhook] ALLOWED_HOST_LIST</code> in its app.ini names them. The default is{' '}
          <code>external</code>; <code>external, loopback</code> or <code>external, private</code> allows
          them.
        </li>
        <li>
          Forgejo waits 5 s for an answer (DELIVER_TIMEOUT). The page of the webhook in the forge shows what
          it sent and what came back.
        </li>
        <li>The address is seen from the forge: within a container, 127.0.0.1 is the container.</li>
        <li>
          What arrived and was not accepted is under{' '}
          <a href={href('refused', { source: source_id })}>Refused</a>.
        </li>
      </ul>
    </>
  )
}
