// Who changed what, and what was refused.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { AuditEntry, AuditListParams } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Button, Field, Lamp, Problem, TableHead, Time } from '../parts/basic.tsx'
import type { LampKind } from '../parts/lamp-kind.ts'
import { TextFilter } from '../parts/text-filter.tsx'
import { place, setQuery } from '../router.ts'
import { call, messageOf } from '../rpc.ts'
import { can } from '../session.ts'
import { oneLine } from '../text.ts'
import { toast } from '../parts/toast.tsx'
import { NeedsAdmin } from './needs-admin.tsx'

const pageSize = 100
const kinds: Record<AuditEntry['outcome'], LampKind> = { done: 'clear', refused: 'stop', failed: 'caution' }

function selectionOf(query: URLSearchParams): AuditListParams {
  const [principal, method, outcome] = ['principal', 'method', 'outcome'].map(name => query.get(name) ?? '')
  return {
    ...(principal ? { principal } : {}),
    ...(method ? { method } : {}),
    ...(outcome === 'done' || outcome === 'refused' || outcome === 'failed' ? { outcome } : {}),
  }
}

function Entries({ selection }: { selection: AuditListParams }): JSX.Element {
  const read = useCall('audit.list', { ...selection, limit: pageSize })
  const older = useSignal<{ entries: AuditEntry[]; next_cursor?: string } | undefined>(undefined)
  const { value, error } = read.value
  if (error !== undefined) return <Problem error={error} again={read.again} />
  if (value === undefined) return <p class="muted">reading …</p>
  const cursor = older.value === undefined ? value.next_cursor : older.value.next_cursor
  const more = async (): Promise<void> => {
    try {
      const { entries, next_cursor } = await call('audit.list', {
        ...selection,
        limit: pageSize,
        cursor: cursor!,
      })
      older.value = {
        entries: [...(older.value?.entries ?? []), ...entries],
        ...(next_cursor === undefined ? {} : { next_cursor }),
      }
    } catch (problem) {
      toast(messageOf(problem), 'stop')
    }
  }
  return (
    <>
      <div class="scroll">
        <table>
          <TableHead titles={['Time', 'Who', 'By', 'Method', 'About', 'Outcome']} />
          <tbody>
            {[...value.entries, ...(older.value?.entries ?? [])].map(
              ({ seq, at, principal, name, interface: face, address, method, ids, outcome, code, count }) => (
                <tr key={seq}>
                  <td>
                    <Time at={at} />
                  </td>
                  <td>
                    {oneLine(principal, 80)}{' '}
                    <span class="muted">{name === undefined ? '' : oneLine(name, 60)}</span>
                  </td>
                  <td>
                    {face} {address}
                  </td>
                  <td>
                    <code>{method ?? 'not read'}</code>
                  </td>
                  <td class="text-block">{ids.map(each => oneLine(each, 80)).join(' ')}</td>
                  <td>
                    <Lamp kind={kinds[outcome]}>
                      {outcome}
                      {code === undefined ? '' : ` ${code}`}
                      {count > 1 ? `, ${count} times` : ''}
                    </Lamp>
                  </td>
                </tr>
              ),
            )}
          </tbody>
        </table>
      </div>
      {value.entries.length === 0 ? <p class="muted">No call matches the filter.</p> : null}
      {cursor === undefined ? null : <Button onClick={() => void more()}>Older</Button>}
    </>
  )
}

export function Audit(): JSX.Element {
  const { query } = place.value
  if (!can('admin')) return <NeedsAdmin what="Entries of the audit log" />
  const selection = selectionOf(query)
  return (
    <div class="stack">
      <search class="filters">
        <TextFilter name="principal" query={query} hint="local, token:…" />
        <TextFilter name="method" query={query} hint="run.approve" />
        <Field label="Outcome">
          <select
            value={query.get('outcome') ?? ''}
            onChange={event => setQuery({ outcome: event.currentTarget.value })}
          >
            <option value="">all</option>
            {Object.keys(kinds).map(outcome => (
              <option key={outcome}>{outcome}</option>
            ))}
          </select>
        </Field>
      </search>
      <Entries key={JSON.stringify(selection)} selection={selection} />
    </div>
  )
}
