// Runs that failed and have no attempt left, by trigger and error. Many are retried or discarded together: first the plan, then in steps
// that can be stopped.
import { signal, useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { RunRetryDeadParams } from '../../contract/types.ts'
import { useLoad } from '../load.ts'
import { Ago, Button, Card, CopyCommand, Empty, Head, Problem, Untrusted } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { toast } from '../parts/toast.tsx'
import { href } from '../router.ts'
import { call, messageOf } from '../rpc.ts'
import { readStatusSoon } from '../status.ts'
import { count, plural, shellQuote, shortId } from '../text.ts'
import { groupDead, type DeadRuns } from './groups.ts'

const pageSize = 500
/** Runs of one step: between two the person can stop. */
const stepSize = 50
/** Above this many, discarding has to be confirmed by typing. */
const typedAbove = 100
/** Longest text of an error that the router selects by. */
const mostError = 500

type Verb = 'retry' | 'discard'

interface Work {
  verb: Verb
  done: number
  of: number
  isStopped: boolean
}

const work = signal<Work | undefined>(undefined)

const methods = { retry: 'run.retry_dead', discard: 'run.discard_dead' } as const

function selectionOf({ trigger_id, bot_id, error }: DeadRuns): RunRetryDeadParams {
  return {
    trigger_id,
    ...(bot_id === null ? {} : { bot_id }),
    ...(error === '' ? {} : { error: error.slice(0, mostError) }),
  }
}

/** Does it step by step, until nothing is left or the person stops it. */
async function execute(
  verb: Verb,
  selection: RunRetryDeadParams,
  of: number,
  reason: string | undefined,
  done: () => void,
): Promise<void> {
  work.value = { verb, done: 0, of, isStopped: false }
  try {
    for (let more = true; more && !work.value.isStopped && work.value.done < of;) {
      const limit = Math.min(stepSize, of - work.value.done)
      const answer = await call(methods[verb], {
        ...selection,
        dry_run: false,
        limit,
        ...(verb === 'discard' && reason !== undefined ? { reason } : {}),
      })
      work.value = { ...work.value, done: work.value.done + answer.runs }
      more = answer.more && answer.runs > 0
    }
    toast(
      `${verb === 'retry' ? 'retried' : 'discarded'}: ${plural(work.value.done, 'run')}${work.value.isStopped ? ', then stopped' : ''}`,
    )
  } catch (error) {
    toast(`${messageOf(error)}; ${plural(work.value?.done ?? 0, 'run was', 'runs were')} done before`, 'stop')
  }
  work.value = undefined
  readStatusSoon()
  done()
}

/** Shows the plan and asks. */
async function plan(verb: Verb, group: DeadRuns, done: () => void): Promise<void> {
  const selection = selectionOf(group)
  try {
    const { runs, more } = await call(methods[verb], { ...selection, dry_run: true })
    const many = `${count(runs)}${more ? ' and more' : ''}`
    confirm(
      {
        title: verb === 'retry' ? `Retry ${many} runs?` : `Discard ${many} runs?`,
        text: (
          <p>
            Trigger {group.trigger_id}, bot {group.bot_id ?? 'none'}: <Untrusted text={group.error} />.{' '}
            {verb === 'retry'
              ? 'Each run gets a new set of attempts and goes to its bot as its queue allows.'
              : 'They leave the dead letters for good.'}{' '}
            It goes in steps of {stepSize}; you can stop in between.
          </p>
        ),
        yes: verb === 'retry' ? 'Retry' : 'Discard',
        danger: verb === 'discard',
        ...(verb === 'discard' ? { reason: 'optional' as const } : {}),
        ...(verb === 'discard' && runs > typedAbove ? { typed: String(runs) } : {}),
      },
      reason => void execute(verb, selection, runs, reason, done),
    )
  } catch (error) {
    toast(messageOf(error), 'stop')
  }
}

function Working(): JSX.Element | null {
  const now = work.value
  if (now === undefined) return null
  return (
    <div class="banner" role="status">
      <label class="actions">
        {now.verb === 'retry' ? 'Retrying' : 'Discarding'}
        <progress max={now.of} value={now.done} />
        <span class="figure">
          {count(now.done)} of {count(now.of)}
        </span>
      </label>
      <Button onClick={() => (work.value = { ...now, isStopped: true })}>Stop</Button>
    </div>
  )
}

function Group({ group, done }: { group: DeadRuns; done: () => void }): JSX.Element {
  const { trigger_id, bot_id, error, runs } = group
  const isOpen = useSignal(false)
  const shown = isOpen.value ? runs : runs.slice(0, 3)
  const isBusy = work.value !== undefined
  return (
    <Card
      title={
        <>
          <a href={href('triggers', trigger_id)}>{trigger_id}</a> · {plural(runs.length, 'run')}
        </>
      }
      more={
        <div class="actions">
          <Button
            scope="approve"
            disabled={isBusy}
            onClick={() => void plan('retry', group, done)}
            label={`Retry all of ${trigger_id}: ${error.slice(0, 60)}`}
          >
            Retry all …
          </Button>
          <Button
            scope="operate"
            look="danger"
            disabled={isBusy}
            onClick={() => void plan('discard', group, done)}
            label={`Discard all of ${trigger_id}: ${error.slice(0, 60)}`}
          >
            Discard all …
          </Button>
          <CopyCommand
            command={`signalbox runs retry --trigger ${shellQuote(trigger_id)} --error ${shellQuote(error.slice(0, mostError))}`}
          />
        </div>
      }
    >
      <p>
        <Untrusted text={error === '' ? 'no error was given' : error} most={400} />
      </p>
      <p class="muted small">
        bot {bot_id ?? 'none'} · first <Ago at={group.first_at} /> · last <Ago at={group.last_at} />
      </p>
      <ul class="actions">
        {shown.map(({ id, created_at }) => (
          <li key={id}>
            <a class="mono" href={href('runs', id)}>
              …{shortId(id)}
            </a>{' '}
            <span class="muted small">
              <Ago at={created_at} />
            </span>
          </li>
        ))}
        {runs.length > 3 ? (
          <li>
            <Button look="quiet" onClick={() => (isOpen.value = !isOpen.value)}>
              {isOpen.value ? 'fewer' : `all ${runs.length}`}
            </Button>
          </li>
        ) : null}
      </ul>
    </Card>
  )
}

export default function Screen(): JSX.Element {
  const read = useLoad(abort => call('run.list', { dead: true, limit: pageSize }, abort), 'dead', {
    on: ({ kind }) => kind === 'run' || kind === 'gap',
  })
  const { value, error } = read.value
  const groups = groupDead(value?.runs ?? [])
  return (
    <>
      <Head title="Dead letters" actions={<CopyCommand command="signalbox runs list --dead" />}>
        {value === undefined || groups.length === 0
          ? undefined
          : `${plural(value.runs.length, 'run')}${value.next_cursor === undefined ? '' : ' and more'}`}
      </Head>
      <Working />
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value !== undefined && groups.length === 0 ? (
        <Empty title="No dead letters">
          <p>
            A run that fails, and has no attempt left, waits here until a person retries or discards it.
            Nothing is lost: its event and its input are kept.
          </p>
          <a href={href('runs', { state: 'any failure' })}>Runs that failed</a>
        </Empty>
      ) : null}
      {groups.map(group => (
        <Group key={`${group.trigger_id} ${group.bot_id} ${group.error}`} group={group} done={read.again} />
      ))}
      {value?.next_cursor === undefined ? null : (
        <p class="muted">Only the newest {pageSize} are shown; the numbers of a plan are those of all.</p>
      )}
    </>
  )
}
