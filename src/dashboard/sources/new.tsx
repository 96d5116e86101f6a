// A new source: a form for the usual kinds, JSON for all of them.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { SourceInput, SourceType } from '../../contract/types.ts'
import { readJson, writeJson } from '../json.ts'
import { Button, Card, Copy, Field, Head, Problem } from '../parts/basic.tsx'
import { JsonField } from '../parts/json-field.tsx'
import { toast } from '../parts/toast.tsx'
import { go, href } from '../router.ts'
import { call } from '../rpc.ts'
import { shellQuote } from '../text.ts'

/** What each type of source begins with, and what it is for. */
const kinds: Record<SourceType, { words: string; config: Record<string, unknown> }> = {
  webhook: { words: 'a forge or service delivers over HTTP', config: { provider: 'forgejo', secrets: [{ env: 'FORGE_SECRET' }] } },
  cron: { words: 'a schedule', config: { expression: '0 3 * * *', timezone: 'UTC' } },
  poll: {
    words: 'a feed or command is read again and again',
    config: { url: 'https://example.org/feed.json', interval_ms: 300_000, items: '{{ answer.items }}', key: '{{ item.id }}' },
  },
  watch: {
    words: 'a number is watched for a limit',
    config: { url: 'https://example.org/load.json', interval_ms: 60_000, value: '{{ answer.load }}', above: 5 },
  },
  service: { words: 'a local service emits events', config: {} },
  manual: { words: 'a person presses a button', config: {} },
  dispatch: { words: 'an inbox of work for a workflow', config: { workflow_id: 'code-review' } },
  osis_change: { words: 'changes of a Hero OSIS', config: {} },
}

const idShape = /^[a-z0-9][a-z0-9._-]*$/

function draftOf(id: string, source_type: string, config: Record<string, unknown>): string {
  return writeJson({ id, source_type, config })
}

export function NewSource(): JSX.Element {
  const type = useSignal<SourceType>('webhook')
  const text = useSignal(draftOf('forge', 'webhook', kinds.webhook.config))
  const json = useSignal<{ json: unknown } | undefined>({ json: readJson(text.value) })
  const problem = useSignal<unknown>(undefined)
  const set = (given: string): void => {
    text.value = given
    json.value = { json: readJson(given) }
  }
  const current = Object(json.value?.json) as { id?: string; config?: Record<string, unknown> }
  const choose = (chosen: SourceType): void => {
    type.value = chosen
    set(draftOf(current.id ?? '', chosen, kinds[chosen].config))
  }
  const setId = (id: string): void => set(writeJson({ ...current, id }))
  const setConfig = (changes: Record<string, unknown>): void => set(writeJson({ ...current, config: { ...current.config, ...changes } }))
  const save = async (): Promise<void> => {
    problem.value = undefined
    try {
      const { source } = await call('source.put', { source: json.value!.json as SourceInput })
      toast(`${source.id} created`)
      go(href('sources', source.id))
    } catch (error) {
      problem.value = error
    }
  }
  const secret = (current.config?.secrets as { env?: string; file?: string }[] | undefined)?.[0]
  const command = `printf %s ${shellQuote(text.value)} | signalbox sources put -`
  return (
    <>
      <Head
        title="New source"
        actions={
          <Copy text={command} what="command">
            Copy as command
          </Copy>
        }
      />
      <div class="split">
        <Card title="Form">
          <div class="form">
            <Field label="Type" hint={kinds[type.value].words}>
              <select value={type.value} onChange={event => choose(event.currentTarget.value as SourceType)}>
                {Object.keys(kinds).map(name => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </Field>
            <Field label="Id" hint="lower-case letters, digits, dot, hyphen, underscore">
              <input
                value={current.id ?? ''}
                aria-invalid={!idShape.test(current.id ?? '')}
                spellcheck={false}
                onInput={event => setId(event.currentTarget.value)}
              />
            </Field>
            {type.value !== 'webhook' ? null : (
              <>
                <Field label="Provider" hint="whose signature and event types a delivery has">
                  <select value={String(current.config?.provider)} onChange={event => setConfig({ provider: event.currentTarget.value })}>
                    {['forgejo', 'gitea', 'github', 'gitlab', 'standard', 'cloudevents', 'bearer', 'none'].map(name => (
                      <option key={name}>{name}</option>
                    ))}
                  </select>
                </Field>
                <Field label="Secret: environment variable" hint="The router reads the secret itself; it never goes through the page.">
                  <input
                    value={secret?.env ?? ''}
                    spellcheck={false}
                    onInput={({ currentTarget: { value } }) => setConfig({ secrets: value === '' ? [] : [{ env: value }] })}
                  />
                </Field>
                <Field label="Or a file that only the router's user can read">
                  <input
                    value={secret?.file ?? ''}
                    spellcheck={false}
                    onInput={({ currentTarget: { value } }) => setConfig({ secrets: value === '' ? [] : [{ file: value }] })}
                  />
                </Field>
              </>
            )}
          </div>
        </Card>
        <Card title="Document">
          <JsonField
            label="Source as JSON"
            text={text.value}
            rows={16}
            change={(given, value) => {
              text.value = given
              json.value = value
            }}
          />
          {problem.value === undefined ? null : <Problem error={problem.value} />}
          <div class="actions">
            <Button look="primary" scope="write" disabled={json.value === undefined} onClick={() => void save()}>
              Create
            </Button>
          </div>
        </Card>
      </div>
    </>
  )
}
