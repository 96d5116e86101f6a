// Enabling, disabling, pausing and resuming a trigger.
import type { JSX } from 'preact'
import type { Trigger } from '../../contract/types.ts'
import { Button } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { attempt } from '../parts/toast.tsx'
import { call } from '../rpc.ts'

/** done: called with the trigger as it is then */
export function TriggerActions({
  trigger: { id, enabled, paused },
  done,
}: {
  trigger: Trigger
  done: (trigger: Trigger) => void
}): JSX.Element {
  const act = (what: string, doIt: () => Promise<{ trigger: Trigger }>): void =>
    void attempt(what, async () => done((await doIt()).trigger))
  const toggle = (): void =>
    act(enabled ? `${id} disabled` : `${id} enabled`, () =>
      call(enabled ? 'trigger.disable' : 'trigger.enable', { trigger_id: id }),
    )
  const pause = (): void =>
    confirm(
      {
        title: `Pause ${id}?`,
        text: 'Events are matched as before, and their runs wait until the trigger is resumed. Running ones continue.',
        yes: 'Pause',
        reason: 'optional',
      },
      reason =>
        act(`${id} paused: its runs wait`, () =>
          call('trigger.pause', { trigger_id: id, ...(reason === undefined ? {} : { reason }) }),
        ),
    )
  const resume = (): void =>
    confirm(
      {
        title: `Resume ${id}?`,
        text: 'The runs that wait for it start, in order, as far as the other limits let them.',
        yes: 'Resume',
      },
      () => act(`${id} resumed`, () => call('trigger.resume', { trigger_id: id })),
    )
  return (
    <>
      <Button scope="operate" label={`${enabled ? 'Disable' : 'Enable'} ${id}`} onClick={toggle}>
        {enabled ? 'Disable' : 'Enable'}
      </Button>
      {paused === true ? (
        <Button scope="approve" label={`Resume ${id}`} onClick={resume}>
          Resume
        </Button>
      ) : (
        <Button scope="operate" label={`Pause ${id}`} onClick={pause}>
          Pause
        </Button>
      )}
    </>
  )
}
