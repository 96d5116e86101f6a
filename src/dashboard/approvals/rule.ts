// Who may approve a run, as far as the page can know it: the router decides (src/api/approver.ts). Pure: no DOM.
import type { Run } from '../../contract/types.ts'

/** The user of the control socket, and logins that were created over it. */
const routerUser = 'local'

/** Why a principal may not approve a run; undefined: nothing is known against it. */
export function ownRunText(
  { requested_by }: Pick<Run, 'requested_by'>,
  principal: string | undefined,
): string | undefined {
  if (principal === undefined || principal === routerUser || principal !== requested_by) return undefined
  return `you (${principal}) caused this run; it must be approved by another person`
}

/** Who decides, and the rule that holds for them. */
export function recordText({ requested_by }: Pick<Run, 'requested_by'>, principal: string): string {
  const rule =
    principal === routerUser
      ? 'The user of the router may approve what it caused, unless approval.other_person is set in the configuration.'
      : 'You may not approve what you caused.'
  return `Recorded as ${principal}; caused by ${requested_by ?? 'a delivery'}. ${rule}`
}
