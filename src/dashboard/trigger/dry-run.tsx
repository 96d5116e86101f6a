// What the draft would have matched: against the log as it is edited, and against one event with every condition.
import { useSignal, type ReadonlySignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { BacktestReport, BacktestSample, TriggerInput } from '../../contract/types.ts'
import { Button, Card, CopyCommand, Facts, Lamp, Problem, Time, Untrusted } from '../parts/basic.tsx'
import { useKeys } from '../parts/keys.ts'
import type { LampKind } from '../parts/lamp-kind.ts'
import { place, setQuery } from '../router.ts'
import { call, isAbort, messageOf, RpcError } from '../rpc.ts'
import { can } from '../session.ts'
import { count, duration, oneLine, plural, shellQuote, shortId } from '../text.ts'
import { problemPath } from './draft.ts'
import type { Editor } from './editor.ts'
import { commitTyped } from './fields.tsx'
import { Pasted, Tried } from './tried.tsx'

const newest = 500
const all = 100_000_000
const samples = 20
const quietMs = 500

type Sign = [kind: LampKind, word: string]

function Sample({
  sample,
  sign,
  choose,
  isChosen,
}: {
  sample: BacktestSample
  sign: Sign
  choose: () => void
  isChosen: boolean
}): JSX.Element {
  const { type, subject, received_at, failing, hint, event_id } = sample
  const why =
    failing === undefined
      ? ''
      : `fails: ${failing.join(', ')}${hint === undefined ? '' : ` (did you mean ${hint}?)`}`
  return (
    <li class={isChosen ? 'sample row-selected' : 'sample'}>
      <Lamp kind={sign[0]}>{sign[1]}</Lamp>
      <button
        type="button"
        class="sample-open"
        aria-pressed={isChosen}
        onClick={choose}
        title="Show every condition"
      >
        <Time at={received_at} /> <Untrusted text={type} most={40} />{' '}
        <Untrusted text={subject ?? `…${shortId(event_id)}`} most={60} />
      </button>
      <span class="muted small" title={oneLine(why, 400)}>
        {oneLine(why, 120)}
      </span>
    </li>
  )
}

function Samples({
  report,
  chosen,
  choose,
}: {
  report: BacktestReport
  chosen: string | undefined
  choose: (event_id: string) => void
}): JSX.Element {
  const { samples: both, difference } = report
  const [added, removed] = [difference?.added_samples ?? [], difference?.removed_samples ?? []]
  const changed = new Set([...added, ...removed].map(({ event_id }) => event_id))
  const rest = (list: BacktestSample[]): BacktestSample[] =>
    list.filter(({ event_id }) => !changed.has(event_id))
  const groups: [BacktestSample[], Sign][] = [
    [added, ['clear', '+ new']],
    [removed, ['stop', '− lost']],
    [rest(both.matched), ['clear', 'match']],
    [rest(both.unmatched), ['miss', 'no']],
  ]
  return (
    <ul class="samples" aria-label="Sample events" tabIndex={0}>
      {groups.flatMap(([list, sign]) =>
        list.map(sample => (
          <Sample
            key={`${sign[1]} ${sample.event_id}`}
            sample={sample}
            sign={sign}
            isChosen={chosen === sample.event_id}
            choose={() => choose(sample.event_id)}
          />
        )),
      )}
    </ul>
  )
}

/** matches 17 of 500 events (version 3: 12; +6 −1) */
export function Verdict({
  report: { scanned, matched, more, difference, took_ms, stopped },
}: {
  report: BacktestReport
}): JSX.Element {
  return (
    <p role="status">
      <strong>
        matches {count(matched)} of {count(scanned)} {scanned === 1 ? 'event' : 'events'}
      </strong>{' '}
      {difference === undefined ? null : (
        <span>
          (version {difference.live_version}:{' '}
          <span class="figure">{count(matched - difference.added + difference.removed)}</span>;{' '}
          <span class={difference.added > 0 ? 'lamp-clear figure' : 'figure'}>
            +{count(difference.added)}
          </span>{' '}
          <span class={difference.removed > 0 ? 'lamp-stop figure' : 'figure'}>
            −{count(difference.removed)}
          </span>
          )
        </span>
      )}{' '}
      <span class="muted small">
        {more ? 'older ones were not looked at, ' : ''}
        {stopped ? 'stopped early, ' : ''}
        {duration(took_ms)}
      </span>
    </p>
  )
}

interface Backtest {
  report: ReadonlySignal<BacktestReport | undefined>
  problem: ReadonlySignal<unknown>
  isRunning: ReadonlySignal<boolean>
}

/** Runs the draft against the log when it has not changed for half a second, and at once when that is asked for. */
function useBacktest(editor: Editor, limit: number): Backtest {
  const report = useSignal<BacktestReport | undefined>(undefined)
  const problem = useSignal<unknown>(undefined)
  const isRunning = useSignal(false)
  const asked = useRef(editor.runs.value)
  const { value: read } = editor.read
  useEffect(() => {
    if (!read.ok || !can('test')) return
    const isAsked = asked.current !== editor.runs.peek()
    asked.current = editor.runs.peek()
    const abort = new AbortController()
    const run = async (): Promise<void> => {
      isRunning.value = true
      try {
        report.value = await call('trigger.backtest', { trigger: read.trigger, limit, samples }, abort.signal)
        problem.value = undefined
      } catch (error) {
        if (isAbort(error)) return
        problem.value = error
        if (error instanceof RpcError && problemPath(error.data) !== '')
          editor.problem.value = { path: problemPath(error.data), message: messageOf(error) }
      }
      isRunning.value = false
    }
    const timer = setTimeout(() => void run(), isAsked ? 0 : quietMs)
    return () => {
      clearTimeout(timer)
      abort.abort()
      isRunning.value = false
    }
  }, [read.ok ? editor.text.value : '', limit, editor.runs.value])
  return { report, problem, isRunning }
}

interface ReportProps {
  report: BacktestReport
  isStale: boolean
  isDisabled: boolean
  trigger: TriggerInput
}

function Report({ report, isStale, isDisabled, trigger }: ReportProps): JSX.Element {
  const { query } = place.value
  const chosen = query.get('sample') ?? query.get('event') ?? undefined
  return (
    <>
      {isStale ? <p class="muted small">What follows is of the draft before:</p> : null}
      <Verdict report={report} />
      {isDisabled && report.difference !== undefined ? (
        <p class="muted small">The stored version is disabled, so it matches nothing.</p>
      ) : null}
      <Facts
        of={report.by_type
          .filter(({ matched }) => matched > 0)
          .slice(0, 5)
          .map(({ type, matched }) => [oneLine(type, 40), plural(matched, 'match', 'matches')])}
      />
      {report.scanned === 0 ? (
        <p class="muted">The log has no event of this source yet. Paste one below.</p>
      ) : (
        <Samples report={report} chosen={chosen} choose={sample => setQuery({ sample })} />
      )}
      {chosen === undefined ? (
        <p class="muted small">Choose an event to see every condition and what the bot would be given.</p>
      ) : (
        <section class="stack" aria-label="The chosen event">
          <h3>Event …{shortId(chosen)}</h3>
          <Tried trigger={trigger} event_id={chosen} />
        </section>
      )}
    </>
  )
}

export function DryRun({ editor, isDisabled }: { editor: Editor; isDisabled: boolean }): JSX.Element {
  const limit = useSignal(newest)
  const { report, problem, isRunning } = useBacktest(editor, limit.value)
  const run = (): void => {
    commitTyped()
    editor.runs.value++
  }
  useKeys([{ keys: 'mod enter', what: 'dry run', act: run }])
  const { value: read } = editor.read
  if (!can('test'))
    return <Card title="Dry run">Your login does not have the scope test, so drafts cannot be tried.</Card>
  const choices: [number, string][] = [
    [newest, `last ${newest} events`],
    [all, 'the whole stored log'],
  ]
  return (
    <Card
      title="Dry run"
      more={
        <div class="actions">
          {choices.map(([most, words]) => (
            <Button
              key={most}
              look="quiet"
              pressed={limit.value === most}
              onClick={() => (limit.value = most)}
            >
              {words}
            </Button>
          ))}
          <Button title="Ctrl+Enter" disabled={!read.ok} onClick={run}>
            {isRunning.value ? 'Running …' : 'Run'}
          </Button>
          {read.ok ? (
            <CopyCommand
              command={`signalbox backtest --draft ${shellQuote(editor.text.value)}${limit.value === newest ? ` --limit ${newest}` : ''}`}
            />
          ) : null}
        </div>
      }
    >
      {read.ok ? null : <p>The document is not JSON: {oneLine(read.problem, 300)}</p>}
      {problem.value === undefined || !read.ok ? null : <Problem error={problem.value} />}
      {report.value === undefined || !read.ok ? null : (
        <Report
          report={report.value}
          isStale={problem.value !== undefined}
          isDisabled={isDisabled}
          trigger={read.trigger}
        />
      )}
      {read.ok ? <Pasted trigger={read.trigger} /> : null}
    </Card>
  )
}
