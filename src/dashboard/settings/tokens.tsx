// Tokens of the admin listener.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { Role, Token } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Ago, Button, Card, Copy, Field, Lamp, Problem, TableHead } from '../parts/basic.tsx'
import { confirm, Dialog } from '../parts/dialog.tsx'
import { attempt } from '../parts/toast.tsx'
import { call } from '../rpc.ts'
import { can } from '../session.ts'
import { oneLine } from '../text.ts'
import { NeedsAdmin } from './needs-admin.tsx'

const roles: readonly Role[] = ['viewer', 'operator', 'developer', 'admin', 'agent']
const dayMs = 86_400_000

function Create({ close }: { close: () => void }): JSX.Element {
  const name = useSignal('')
  const role = useSignal<Role>('viewer')
  const days = useSignal(90)
  const secret = useSignal<string | undefined>(undefined)
  const problem = useSignal<unknown>(undefined)
  const create = async (event: Event): Promise<void> => {
    event.preventDefault()
    try {
      secret.value = (
        await call('token.create', { name: name.value, role: role.value, expires_in_ms: days.value * dayMs })
      ).token
    } catch (error) {
      problem.value = error
    }
  }
  if (secret.value !== undefined)
    return (
      <Dialog title="The token" close={close}>
        <p>It is shown once: the router keeps only its hash.</p>
        <pre class="command">{secret.value}</pre>
        <div class="dialog-actions">
          <Copy text={secret.value} what="token" />
          <Button look="primary" onClick={close}>
            Done
          </Button>
        </div>
      </Dialog>
    )
  return (
    <Dialog title="New token" close={close}>
      <form onSubmit={event => void create(event)}>
        <Field label="Name" hint="what uses it">
          <input
            value={name.value}
            required
            maxLength={100}
            onInput={event => (name.value = event.currentTarget.value)}
          />
        </Field>
        <Field
          label="Role"
          hint="A worker's token, and single scopes, are created with signalbox tokens create."
        >
          <select value={role.value} onChange={event => (role.value = event.currentTarget.value as Role)}>
            {roles.map(each => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </Field>
        <Field label="Ends after days">
          <input
            type="number"
            min={1}
            max={3650}
            value={days.value}
            onInput={event => (days.value = Number(event.currentTarget.value))}
          />
        </Field>
        {problem.value === undefined ? null : <Problem error={problem.value} />}
        <div class="dialog-actions">
          <Button onClick={close}>Cancel</Button>
          <button type="submit" class="button button-primary">
            Create
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function TokenRow({ token, again }: { token: Token; again: () => void }): JSX.Element {
  const {
    id,
    name,
    kind,
    role,
    scopes,
    state,
    created_by,
    created_at,
    expires_at,
    last_used_at,
    last_used_from,
  } = token
  const revoke = (): void =>
    confirm(
      {
        title: `Revoke ${oneLine(name, 60)}?`,
        text: 'What uses it is refused from now on; its open requests end.',
        yes: 'Revoke',
        danger: true,
      },
      () => {
        void attempt('revoked', () => call('token.revoke', { token_id: id })).then(again)
      },
    )
  return (
    <tr>
      <td>
        {oneLine(name, 80)} <code class="muted">{id}</code>
      </td>
      <td>
        <Lamp kind={state === 'valid' ? 'clear' : 'miss'}>{state}</Lamp>
      </td>
      <td>{role ?? scopes.join(', ')}</td>
      <td>{kind}</td>
      <td>
        <Ago at={created_at} /> by {created_by}
      </td>
      <td>
        {last_used_at === undefined ? 'never' : <Ago at={last_used_at} />} {last_used_from}
      </td>
      <td>{expires_at === undefined ? 'never' : <Ago at={expires_at} />}</td>
      <td>
        {state === 'valid' ? (
          <Button look="danger" onClick={revoke} label={`Revoke ${oneLine(name, 60)}`}>
            Revoke
          </Button>
        ) : null}
      </td>
    </tr>
  )
}

export function Tokens(): JSX.Element {
  const read = useCall('token.list', can('admin') ? {} : undefined)
  const isCreating = useSignal(false)
  const { value, error } = read.value
  if (!can('admin')) return <NeedsAdmin what="Tokens" />
  const close = (): void => {
    isCreating.value = false
    read.again()
  }
  return (
    <Card title="Tokens" more={<Button onClick={() => (isCreating.value = true)}>New token</Button>}>
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value?.tokens.length === 0 ? (
        <p class="small">No token yet. Programs, workers and agents use one to reach the admin listener.</p>
      ) : null}
      {value === undefined || value.tokens.length === 0 ? null : (
        <div class="scroll">
          <table>
            <TableHead
              titles={['Token', 'State', 'Role or scopes', 'Kind', 'Created', 'Last used', 'Ends', '']}
            />
            <tbody>
              {value.tokens.map(token => (
                <TokenRow key={token.id} token={token} again={read.again} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {isCreating.value ? <Create close={close} /> : null}
    </Card>
  )
}
