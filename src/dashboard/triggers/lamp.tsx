// Whether a trigger matches, and whether its runs start.
import type { JSX } from 'preact'
import type { Trigger } from '../../contract/types.ts'
import { Lamp } from '../parts/basic.tsx'

export function TriggerLamp({
  trigger: { enabled, paused },
}: {
  trigger: Pick<Trigger, 'enabled' | 'paused'>
}): JSX.Element {
  if (!enabled) return <Lamp kind="miss">disabled</Lamp>
  return paused === true ? <Lamp kind="held">paused</Lamp> : <Lamp kind="clear">enabled</Lamp>
}
