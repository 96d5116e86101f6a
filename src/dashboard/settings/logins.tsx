// Browsers that are logged in.
import type { JSX } from 'preact'
import { useCall } from '../load.ts'
import { Ago, Button, Card, Lamp, Problem, TableHead, Untrusted } from '../parts/basic.tsx'
import { attempt } from '../parts/toast.tsx'
import { call } from '../rpc.ts'
import { can, session } from '../session.ts'
import { NeedsAdmin } from './needs-admin.tsx'

export function Logins(): JSX.Element {
  const read = useCall('login.list', can('admin') ? {} : undefined)
  const { value, error } = read.value
  if (!can('admin')) return <NeedsAdmin what="Logins" />
  const end = (login_id: string): void =>
    void attempt('login ended', () => call('login.revoke', { login_id })).then(read.again)
  return (
    <Card title="Logins">
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      <div class="scroll">
        <table>
          <TableHead titles={['Browser', 'State', 'Role', 'Created', 'Last used', 'Ends', '']} />
          <tbody>
            {value?.logins.map(
              ({
                id,
                browser,
                state,
                role,
                scopes,
                created_by,
                created_at,
                last_used_at,
                address,
                expires_at,
              }) => (
                <tr key={id}>
                  <td>
                    <Untrusted text={browser ?? 'unknown'} most={60} /> <code class="muted">{id}</code>{' '}
                    {id === session.value?.login_id ? <strong>this one</strong> : null}
                  </td>
                  <td>
                    <Lamp kind={state === 'valid' ? 'clear' : 'miss'}>{state}</Lamp>
                  </td>
                  <td>{role ?? scopes.join(', ')}</td>
                  <td>
                    <Ago at={created_at} /> by {created_by}
                  </td>
                  <td>
                    {last_used_at === undefined ? 'never' : <Ago at={last_used_at} />} {address}
                  </td>
                  <td>
                    <Ago at={expires_at} />
                  </td>
                  <td>
                    {state === 'valid' ? (
                      <Button look="danger" onClick={() => end(id)} label={`End login ${id}`}>
                        End
                      </Button>
                    ) : null}
                  </td>
                </tr>
              ),
            )}
          </tbody>
        </table>
      </div>
    </Card>
  )
}
