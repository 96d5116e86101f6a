// Connecting a Forgejo: the command that does it, and waiting for the first delivery. The API token stays with the command: it never
// goes through the page.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Source } from '../../contract/types.ts'
import { now } from '../load.ts'
import { Button, Card, Copy, Field, Lamp } from '../parts/basic.tsx'
import { href } from '../router.ts'
import { listen } from '../stream/hub.ts'
import { duration, shellQuote } from '../text.ts'

const patienceMs = 60_000

type Waiting = { since: number; event_id?: string } | undefined

export function Connect({ source: { id } }: { source: Source }): JSX.Element {
  const url = useSignal('https://forge.example.org')
  const what = useSignal('owner/repo')
  const waiting = useSignal<Waiting>(undefined)
  useEffect(
    () =>
      listen(message => {
        const current = waiting.peek()
        if (message.kind === 'event' && message.event.source_id === id && current !== undefined) waiting.value = { ...current, event_id: message.event.id }
      }),
    [id],
  )
  const target = what.value.includes('/') ? shellQuote(what.value) : `--org ${shellQuote(what.value)}`
  const command = `FORGEJO_TOKEN=… signalbox forgejo connect ${shellQuote(url.value)} ${target} --source ${shellQuote(id)}`
  return (
    <Card title="Connect a Forgejo">
      <p class="small">Run this where the router runs, with an API token of the forge (write:repository, with an organisation write:organization).</p>
      <Field label="Forge">
        <input value={url.value} spellcheck={false} onInput={event => (url.value = event.currentTarget.value)} />
      </Field>
      <Field label="Repository, or organisation">
        <input value={what.value} spellcheck={false} onInput={event => (what.value = event.currentTarget.value)} />
      </Field>
      <pre class="command">{command}</pre>
      <div class="actions">
        <Copy text={command} what="command" />
        <Button onClick={() => (waiting.value = { since: Date.now() })}>Wait for a delivery</Button>
      </div>
      <Arrival waiting={waiting.value} />
    </Card>
  )
}

function Arrival({ waiting }: { waiting: Waiting }): JSX.Element | null {
  if (waiting === undefined) return null
  if (waiting.event_id !== undefined)
    return (
      <p role="status">
        <Lamp kind="clear">a delivery arrived</Lamp> <a href={href('events', waiting.event_id)}>look at it</a>
      </p>
    )
  const passed = now.value - waiting.since
  if (passed < patienceMs)
    return (
      <p role="status">
        <Lamp kind="active">waiting</Lamp> <span class="figure">{duration(Math.max(0, passed))}</span>
      </p>
    )
  return (
    <div role="status" class="stack small">
      <Lamp kind="caution">No delivery arrived within a minute</Lamp>
      <p>
        Forgejo refuses to deliver to loopback and private addresses unless its setting <code>[webhook] ALLOWED_HOST_LIST</code> names them; its default is{' '}
        <code>external</code>. It waits 5 s for an answer and tries once. The page of the hook in the forge shows what it tried;{' '}
        <a href={href('refused')}>Refused</a> shows what arrived and was not accepted.
      </p>
    </div>
  )
}
