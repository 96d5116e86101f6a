// The last runs of a trigger, and the tools that the newest was allowed.
import type { JSX } from 'preact'
import { useCall } from '../load.ts'
import { Ago, Card, CopyCommand, Facts, Problem, RunLamp, Untrusted } from '../parts/basic.tsx'
import { href } from '../router.ts'
import { oneLine, shellQuote, shortId } from '../text.ts'

const shown = 5

function Tools({ run_id }: { run_id: string }): JSX.Element | null {
  const run = useCall('run.get', { run_id }).value.value?.run
  if (run === undefined) return null
  const { allowed_tools, cut_tools } = run
  return (
    <Facts
      of={[
        [
          'allowed tools',
          allowed_tools == null
            ? 'all of the bot’s but the denied ones'
            : oneLine(allowed_tools.join(', '), 400) || 'none',
        ],
        [
          'left out',
          cut_tools === undefined
            ? undefined
            : cut_tools.map(({ tool, reason }) => `${oneLine(tool)}: ${oneLine(reason, 200)}`).join('; '),
        ],
      ]}
    />
  )
}

export function LastRuns({ id }: { id: string }): JSX.Element {
  const read = useCall(
    'run.list',
    { trigger_id: id, limit: shown },
    { on: message => message.kind === 'gap' || (message.kind === 'run' && message.run.trigger_id === id) },
  )
  const { value, error } = read.value
  const [newest] = value?.runs ?? []
  return (
    <Card
      title="Last runs"
      more={<CopyCommand command={`signalbox runs list --trigger ${shellQuote(id)}`} />}
    >
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value?.runs.length === 0 ? <p class="muted small">It has started no run that is stored.</p> : null}
      <ul class="last-runs">
        {value?.runs.map(run => (
          <li key={run.id} class="actions">
            <RunLamp run={run} />
            <a class="mono" href={href('runs', run.id)}>
              …{shortId(run.id)}
            </a>
            <span class="muted small">
              v{run.trigger_version}, <Ago at={run.created_at} />
            </span>
            {run.error == null ? null : (
              <span class="small">
                <Untrusted text={run.error} most={80} />
              </span>
            )}
          </li>
        ))}
      </ul>
      {newest === undefined ? null : (
        <>
          <h3>Tools of the newest run</h3>
          <Tools run_id={newest.id} />
          <p class="small">
            <a href={href('runs', { trigger: id })}>all runs of {id}</a>
          </p>
        </>
      )}
    </Card>
  )
}
