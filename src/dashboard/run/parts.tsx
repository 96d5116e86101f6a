// The parts of a run that are not its output: requests, responses, history, inputs.
import type { JSX } from 'preact'
import type { Attempt, MadeRequest, Run, RunHistoryResult } from '../../contract/types.ts'
import { readJson } from '../json.ts'
import { useCall } from '../load.ts'
import { Facts, Lamp, Problem, Since, TableHead, Time, Untrusted } from '../parts/basic.tsx'
import { Tree } from '../parts/tree.tsx'
import { can } from '../session.ts'
import { bytes, oneLine, visible } from '../text.ts'
import type { LampKind } from '../parts/lamp-kind.ts'

function RequestFacts({
  request: { kind, method, url, headers, socket_path, argv, cwd, env, body_bytes, body_sha256 },
}: {
  request: MadeRequest
}): JSX.Element {
  return (
    <Facts
      of={[
        ['kind', kind.replaceAll('_', ' ')],
        ['method', method === undefined ? undefined : <code>{oneLine(method)}</code>],
        ['address', url === undefined ? undefined : <code>{oneLine(url, 500)}</code>],
        ['socket', socket_path === undefined ? undefined : <code>{socket_path}</code>],
        [
          'command',
          argv === undefined ? undefined : (
            <code>{argv.map(each => oneLine(JSON.stringify(each), 300)).join(' ')}</code>
          ),
        ],
        ['directory', cwd == null ? undefined : <code>{cwd}</code>],
        ['variables', env === undefined ? undefined : env.join(', ')],
        ['body', `${bytes(body_bytes)}${body_sha256 === undefined ? '' : `, SHA-256 ${body_sha256}`}`],
        ...Object.entries(headers ?? {}).map(([name, value]): [string, JSX.Element] => [
          name,
          <code>{oneLine(value, 500)}</code>,
        ]),
      ]}
    />
  )
}

/** A body: a tree where it is JSON, otherwise its text. */
function Body({ text, label }: { text: string; label: string }): JSX.Element {
  let value: unknown
  try {
    value = readJson(text)
  } catch {
    return <pre class="surface text-block">{visible(text)}</pre>
  }
  return typeof value === 'object' && value !== null ? (
    <Tree value={value} label={label} />
  ) : (
    <pre class="surface text-block">{visible(text)}</pre>
  )
}

export function Request({ run }: { run: Run }): JSX.Element {
  const read = useCall('run.request', run.attempt > 0 && can('payload') ? { run_id: run.id } : undefined)
  const { value, error } = read.value
  if (!can('payload'))
    return <p class="muted">Your login does not have the scope payload, so requests are left out.</p>
  if (run.attempt === 0) return <p class="muted">Nothing was asked of a bot yet.</p>
  if (error !== undefined) return <Problem error={error} />
  if (value === undefined) return <p class="muted">reading …</p>
  return (
    <div class="stack">
      <RequestFacts request={value.request} />
      {value.body === undefined ? (
        <p class="muted">{value.body_missing}</p>
      ) : (
        <Body text={value.body} label="Body of the request" />
      )}
    </div>
  )
}

const outcomes: Record<Attempt['outcome'], LampKind> = {
  success: 'clear',
  retry: 'stop',
  permanent: 'stop',
  timeout: 'stop',
  cancelled: 'miss',
  unknown: 'caution',
}

export function Responses({ attempts }: { attempts: readonly Attempt[] }): JSX.Element {
  if (attempts.length === 0) return <p class="muted">No attempt has ended yet.</p>
  return (
    <div class="stack">
      {attempts.toReversed().map(({ number, outcome, status, error, output, started_at, ended_at }) => (
        <section key={number} class="stack">
          <h2>
            Attempt {number} <Lamp kind={outcomes[outcome]}>{outcome}</Lamp>
          </h2>
          <Facts
            of={[
              ['began', <Time at={started_at} />],
              ['took', <Since at={started_at} until={ended_at} />],
              ['status', status === undefined ? undefined : oneLine(status)],
              ['error', error === undefined ? undefined : <Untrusted text={error} most={1000} />],
            ]}
          />
          {output === undefined || output === '' ? null : (
            <Body text={output} label={`Answer to attempt ${number}`} />
          )}
        </section>
      ))}
    </div>
  )
}

export function History({ history }: Pick<RunHistoryResult, 'history'>): JSX.Element {
  return (
    <table>
      <TableHead titles={['Time', 'Move', 'To', 'Attempt', 'Reason']} />
      <tbody>
        {history.map(({ at, move, to, attempt, reason }, index) => (
          <tr key={index}>
            <td>
              <Time at={at} />
            </td>
            <td>{move.replaceAll('_', ' ')}</td>
            <td>{to.replaceAll('_', ' ')}</td>
            <td>{attempt === 0 ? '' : attempt}</td>
            <td>
              <Untrusted text={reason ?? ''} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** What the bot would be given now. */
export function Given({ run }: { run: Run }): JSX.Element {
  const read = useCall('run.preview', can('payload') ? { run_id: run.id } : undefined)
  const { value, error } = read.value
  if (!can('payload'))
    return <p class="muted">Your login does not have the scope payload, so inputs are left out.</p>
  if (error !== undefined) return <Problem error={error} />
  if (value === undefined) return <p class="muted">reading …</p>
  if (value.problem !== undefined) return <Lamp kind="stop">{oneLine(value.problem, 500)}</Lamp>
  return value.inputs === undefined || value.inputs === null ? (
    <p class="muted">Its trigger names no inputs: the bot is given the event.</p>
  ) : (
    <Tree value={value.inputs} label="Inputs" />
  )
}
