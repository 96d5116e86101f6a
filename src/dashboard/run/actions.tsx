// What can be done about a run.
import type { JSX } from 'preact'
import type { Run, Scope } from '../../contract/types.ts'
import { Button, CopyCommand } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { isOver } from '../parts/lamp-kind.ts'
import { attempt } from '../parts/toast.tsx'
import { href } from '../router.ts'
import { call } from '../rpc.ts'

interface Action {
  name: string
  scope: Scope
  /** Whether the run is one that it can be done to. */
  fits: (run: Run) => boolean
  act: (run_id: string, reason: string | undefined) => Promise<unknown>
  said: string
  /** what is asked first; undefined: nothing */
  asks?: string
  danger?: boolean
}

const reasoned = (reason: string | undefined): { reason?: string } => (reason === undefined ? {} : { reason })
const isWaiting = ({ state }: Run): boolean => state === 'pending' || state === 'awaiting_approval'

const all: readonly Action[] = [
  {
    name: 'Pause',
    scope: 'operate',
    fits: ({ state, pause_requested }) => state === 'running' && pause_requested !== true,
    act: (run_id, reason) => call('run.pause', { run_id, ...reasoned(reason) }),
    said: 'asked its bot to pause',
    asks: 'Its bot is asked to pause. A bot that cannot pause goes on.',
  },
  {
    name: 'Resume',
    scope: 'operate',
    fits: ({ state, pause_requested }) => state === 'paused' || pause_requested === true,
    act: run_id => call('run.resume', { run_id }),
    said: 'resumed',
  },
  {
    name: 'Hold',
    scope: 'operate',
    fits: isWaiting,
    act: (run_id, reason) => call('run.hold', { run_id, ...reasoned(reason) }),
    said: 'held',
    asks: 'The run stays away from its bot until a person releases it.',
  },
  {
    name: 'Release',
    scope: 'approve',
    fits: ({ state }) => state === 'held',
    act: run_id => call('run.release', { run_id }),
    said: 'released',
  },
  {
    name: 'Retry',
    scope: 'approve',
    fits: ({ dead }) => dead,
    act: run_id => call('run.retry', { run_id }),
    said: 'retried: it has a new set of attempts',
  },
  {
    name: 'Discard',
    scope: 'operate',
    fits: ({ dead }) => dead,
    act: (run_id, reason) => call('run.discard', { run_id, ...reasoned(reason) }),
    said: 'discarded',
    asks: 'The run leaves the dead letters for good. Its event and history stay in the log.',
    danger: true,
  },
  {
    name: 'Cancel',
    scope: 'operate',
    fits: run => !isOver(run) && run.cancel_requested !== true,
    act: (run_id, reason) => call('run.cancel', { run_id, ...reasoned(reason) }),
    said: 'cancelled, or its bot was asked to stop',
    asks: 'A run that waits is cancelled at once. The bot of a running one is asked to stop.',
    danger: true,
  },
]

export function RunActions({ run, changed }: { run: Run; changed: () => void }): JSX.Element {
  const start = ({ name, act, said, asks, danger }: Action): void => {
    const go = async (reason: string | undefined): Promise<void> => {
      await attempt(said, () => act(run.id, reason))
      changed()
    }
    if (asks === undefined) void go(undefined)
    else
      confirm(
        {
          title: `${name} this run?`,
          text: asks,
          yes: name,
          reason: 'optional',
          ...(danger === true ? { danger } : {}),
        },
        reason => void go(reason),
      )
  }
  return (
    <>
      {run.state === 'awaiting_approval' ? (
        <a class="button button-primary" href={href('approvals', run.id)}>
          Decide
        </a>
      ) : null}
      {all
        .filter(({ fits }) => fits(run))
        .map(action => (
          <Button
            key={action.name}
            scope={action.scope}
            {...(action.danger === true ? { look: 'danger' } : {})}
            onClick={() => start(action)}
          >
            {action.name}
          </Button>
        ))}
      <CopyCommand command={`signalbox runs show ${run.id}`} />
    </>
  )
}
