// The decision about a run that waits: approve or deny, with a reason, for exactly what is shown.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useRef } from 'preact/hooks'
import type { RunPreview } from '../../contract/types.ts'
import { Button, Lamp } from '../parts/basic.tsx'
import { useKeys } from '../parts/keys.ts'
import { toast } from '../parts/toast.tsx'
import { go, href } from '../router.ts'
import { call, messageOf, RpcError } from '../rpc.ts'
import { can, session } from '../session.ts'
import { readStatusSoon } from '../status.ts'
import { oneLine } from '../text.ts'
import { ownRunText, recordText } from './rule.ts'

type Verb = 'approve' | 'deny'

const past: Record<Verb, string> = { approve: 'approved', deny: 'denied' }

/** The run, or the trigger that made it, is at another version than the one decided about. */
const conflict = -32009

/** Opens the next run that waits, or the inbox. */
async function goOn(decided: string): Promise<void> {
  readStatusSoon()
  const { runs } = await call('run.list', { state: 'awaiting_approval', limit: 100 })
  const next = runs.findLast(({ id }) => id !== decided)
  go(next === undefined ? href('approvals') : href('approvals', next.id))
}

export interface DecisionProps {
  preview: RunPreview
  /** Whether it has changed since it was shown: nothing is decided about it then. */
  isOld: boolean
  /** Shows what it is now. verb: what was not done, where that is why */
  showNow: (verb?: string) => void
}

export function Decision({ preview, isOld, showNow }: DecisionProps): JSX.Element {
  const { run, version, problem } = preview
  const reason = useSignal('')
  const busy = useSignal(false)
  const box = useRef<HTMLInputElement>(null)
  /** What a key chose: Enter does it. */
  const asked = useSignal<Verb | undefined>(undefined)
  /** Why the router did not let this principal approve. */
  const refused = useSignal<string | undefined>(undefined)
  const who = session.value?.principal ?? ''
  const own = refused.value ?? ownRunText(run, session.value?.principal)
  const canDo = (verb: Verb): boolean =>
    can('approve') && !busy.value && (verb === 'deny' || (problem === undefined && own === undefined))
  const failed = (verb: Verb, error: unknown): void => {
    const isConflict = error instanceof RpcError && error.code === conflict
    // What changed is shown in its place.
    if (!isConflict) toast(messageOf(error), 'stop')
    if (!(error instanceof RpcError)) return
    if (error.data.code === 'E_OWN_RUN') refused.value = error.message
    // It is not as it was shown: it must be looked at again.
    else showNow(past[verb])
  }
  const decide = async (verb: Verb): Promise<void> => {
    asked.value = undefined
    if (!canDo(verb)) return
    if (isOld) return showNow(past[verb])
    busy.value = true
    try {
      const text = reason.value.trim()
      await call(`run.${verb}`, {
        run_id: run.id,
        trigger_version: run.trigger_version,
        version,
        ...(text === '' ? {} : { reason: text }),
      })
    } catch (error) {
      busy.value = false
      return failed(verb, error)
    }
    toast(`${past[verb]}: ${run.trigger_id}`)
    // The decision is made, whether or not the next one can be read.
    await goOn(run.id).catch(() => go(href('approvals')))
  }
  const ask = (verb: Verb): void => {
    if (!canDo(verb)) return
    asked.value = verb
    box.current?.focus()
  }
  useKeys([
    { keys: 'a', what: 'approve (Enter confirms)', act: () => ask('approve') },
    { keys: 'd', what: 'deny (Enter confirms)', act: () => ask('deny') },
  ])
  return (
    <form
      class="decision-bar"
      aria-label="Decision"
      onSubmit={event => {
        event.preventDefault()
        if (asked.value !== undefined) void decide(asked.value)
      }}
      onKeyDown={event => {
        if (event.key === 'Escape') asked.value = undefined
      }}
    >
      <label class="field">
        <span class="field-label">Reason (optional)</span>
        <input
          ref={box}
          value={reason.value}
          maxLength={500}
          onInput={event => (reason.value = event.currentTarget.value)}
        />
      </label>
      <p role="status" class="small decision-asked">
        {asked.value === undefined ? '' : `Press Enter to ${asked.value}, Escape to leave it.`}
      </p>
      <div class="decision-buttons">
        <Button look="danger" scope="approve" disabled={busy.value} onClick={() => void decide('deny')}>
          Deny <kbd>d</kbd>
        </Button>
        <Button
          look="primary"
          scope="approve"
          disabled={!canDo('approve')}
          title={own ?? problem}
          onClick={() => void decide('approve')}
        >
          Approve <kbd>a</kbd>
        </Button>
      </div>
      {can('approve') ? null : (
        <p class="small">Your login does not have the scope approve: it cannot decide.</p>
      )}
      {own === undefined ? null : <Lamp kind="stop">{oneLine(own, 400)}</Lamp>}
      <p class="muted small">{recordText(run, who)}</p>
    </form>
  )
}
