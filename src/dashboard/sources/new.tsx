// A new source: a form for the usual kinds, JSON for all of them.
import { useSignal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import type { SourceInput, SourceType } from '../../contract/types.ts'
import { readJson, writeJson } from '../json.ts'
import { Button, Card, Copy, Field, Head, Lamp, Problem } from '../parts/basic.tsx'
import { JsonField } from '../parts/json-field.tsx'
import { toast } from '../parts/toast.tsx'
import { go, href, place } from '../router.ts'
import { call, RpcError } from '../rpc.ts'
import { oneLine, shellQuote } from '../text.ts'
import type { SecretRef } from './address.ts'
import { Connect } from './connect.tsx'
import { messageFor, problemOf, type FieldProblem } from './problem.ts'

/** What each type of source begins with, and what it is for. */
const kinds: Record<SourceType, { words: string; config: Record<string, unknown> }> = {
  webhook: {
    words: 'a forge or service delivers over HTTP',
    config: { provider: 'forgejo', secrets: [{ env: 'FORGE_SECRET' }] },
  },
  cron: { words: 'a schedule', config: { expression: '0 3 * * *', timezone: 'UTC' } },
  poll: {
    words: 'a feed or command is read again and again',
    config: {
      url: 'https://example.org/feed.json',
      interval_ms: 300_000,
      items: '{{ answer.items }}',
      key: '{{ item.id }}',
    },
  },
  watch: {
    words: 'a number is watched for a limit',
    config: {
      url: 'https://example.org/load.json',
      interval_ms: 60_000,
      value: '{{ answer.load }}',
      above: 5,
    },
  },
  service: { words: 'a local service emits events', config: {} },
  manual: { words: 'a person presses a button', config: {} },
  dispatch: { words: 'an inbox of work for a workflow', config: { workflow_id: 'code-review' } },
  osis_change: { words: 'changes of a Hero OSIS', config: {} },
}

const providers = ['forgejo', 'gitea', 'github', 'gitlab', 'standard', 'cloudevents', 'bearer', 'none']

interface Draft {
  id?: string
  source_type?: SourceType
  description?: string
  config?: { provider?: string; secrets?: SecretRef[]; type?: string }
}

interface FormProps {
  draft: Draft
  set: (draft: Draft) => void
  problem: FieldProblem | undefined
}

/** A field that shows what the router found wrong with it. */
function Checked({
  label,
  path,
  hint,
  problem,
  children,
}: {
  label: string
  path: string
  hint?: string
  problem: FieldProblem | undefined
  children: ComponentChildren
}): JSX.Element {
  const message = messageFor(problem, path)
  return (
    <Field
      label={label}
      hint={message === undefined ? hint : <Lamp kind="stop">{oneLine(message, 400)}</Lamp>}
    >
      {children}
    </Field>
  )
}

function WebhookFields({ draft, set, problem }: FormProps): JSX.Element {
  const { config = {} } = draft
  const secret = config.secrets?.[0]
  const setSecret = (ref: SecretRef | undefined): void => {
    const { secrets: _, ...rest } = config
    set({ ...draft, config: ref === undefined ? rest : { ...rest, secrets: [ref] } })
  }
  return (
    <>
      <Checked
        label="Provider"
        path="config.provider"
        hint="Whose signature and event types a delivery has."
        problem={problem}
      >
        <select
          value={config.provider}
          onChange={event => set({ ...draft, config: { ...config, provider: event.currentTarget.value } })}
        >
          {providers.map(name => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </Checked>
      <Checked
        label="Secret: environment variable of the router"
        path="config.secrets"
        hint="The router reads the secret itself; it never goes through the page."
        problem={problem}
      >
        <input
          value={secret?.env ?? ''}
          spellcheck={false}
          onInput={({ currentTarget: { value } }) => setSecret(value === '' ? undefined : { env: value })}
        />
      </Checked>
      <Field label="Or a file: absolute path, readable only by the user of the router">
        <input
          value={secret?.file ?? ''}
          spellcheck={false}
          onInput={({ currentTarget: { value } }) => setSecret(value === '' ? undefined : { file: value })}
        />
      </Field>
      {secret?.file !== undefined && !secret.file.startsWith('/') ? (
        <Lamp kind="caution">A path that is not absolute is looked for where the router was started.</Lamp>
      ) : null}
    </>
  )
}

function Form({ draft, set, problem }: FormProps): JSX.Element {
  const type = draft.source_type ?? 'webhook'
  const { config = {} } = draft
  const setType = (chosen: SourceType): void =>
    set({ id: draft.id ?? '', source_type: chosen, config: kinds[chosen].config })
  return (
    <div class="form">
      <Checked label="Type" path="source_type" hint={kinds[type]?.words ?? ''} problem={problem}>
        <select value={type} onChange={event => setType(event.currentTarget.value as SourceType)}>
          {Object.keys(kinds).map(name => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </Checked>
      <Checked
        label="Id"
        path="id"
        hint="lower-case letters, digits, dot, hyphen, underscore"
        problem={problem}
      >
        <input
          value={draft.id ?? ''}
          spellcheck={false}
          aria-invalid={messageFor(problem, 'id') !== undefined}
          onInput={event => set({ ...draft, id: event.currentTarget.value })}
        />
      </Checked>
      {type === 'webhook' ? <WebhookFields draft={draft} set={set} problem={problem} /> : null}
      {type === 'manual' ? (
        <Checked label="Type of its events" path="config.type" hint="Default: manual." problem={problem}>
          <input
            value={config.type ?? ''}
            spellcheck={false}
            onInput={({ currentTarget: { value } }) => {
              const { type: _, ...rest } = config
              set({ ...draft, config: value === '' ? rest : { ...rest, type: value } })
            }}
          />
        </Checked>
      ) : null}
      {type === 'webhook' || type === 'manual' || type === 'service' ? null : (
        <p class="muted small">What this type reads is written in the document.</p>
      )}
    </div>
  )
}

export function NewSource(): JSX.Element {
  if (place.value.query.get('with') === 'forgejo')
    return (
      <>
        <Head title="Connect a Forgejo" />
        <Connect />
      </>
    )
  return <Writing />
}

function Writing(): JSX.Element {
  const text = useSignal(writeJson({ id: 'forge', source_type: 'webhook', config: kinds.webhook.config }))
  const json = useSignal<{ json: unknown } | undefined>({ json: readJson(text.value) })
  const error = useSignal<unknown>(undefined)
  const change = (given: string, value: { json: unknown } | undefined): void => {
    text.value = given
    json.value = value
    error.value = undefined
  }
  const set = (draft: Draft): void => change(writeJson(draft), { json: draft })
  const draft = Object(json.value?.json) as Draft
  const save = async (): Promise<void> => {
    error.value = undefined
    try {
      // Version 0: it must not exist. Another source with this id would be overwritten.
      const { source } = await call('source.put', { source: json.value!.json as SourceInput, version: 0 })
      toast(`${source.id} created`)
      go(href('sources', source.id))
    } catch (thrown) {
      error.value = thrown
    }
  }
  const problem = error.value instanceof RpcError ? problemOf(error.value, draft.id ?? '') : undefined
  return (
    <>
      <Head
        title="New source"
        actions={
          <>
            <a class="button" href={href('sources', 'new', { with: 'forgejo' })}>
              Connect a Forgejo
            </a>
            <Copy text={`printf %s ${shellQuote(text.value)} | signalbox sources put -`} what="command">
              Copy as command
            </Copy>
          </>
        }
      />
      <div class="split">
        <Card title="Form">
          {json.value === undefined ? (
            <p class="small muted">The document is not JSON: correct it first.</p>
          ) : null}
          <fieldset class="plain-fieldset" disabled={json.value === undefined}>
            <legend class="hidden-text">Source</legend>
            <Form draft={draft} set={set} problem={problem} />
          </fieldset>
        </Card>
        <Card title="Document">
          <JsonField label="Source as JSON" text={text.value} rows={16} change={change} />
          {error.value === undefined ? null : (
            <Problem error={problem === undefined ? error.value : new Error(problem.message)} />
          )}
          <div class="actions">
            <Button
              look="primary"
              scope="write"
              disabled={json.value === undefined}
              onClick={() => void save()}
            >
              Create
            </Button>
          </div>
        </Card>
      </div>
    </>
  )
}
