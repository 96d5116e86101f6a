// The screen for a login without the scope admin.
import type { JSX } from 'preact'
import { Empty } from '../parts/basic.tsx'

export function NeedsAdmin({ what }: { what: string }): JSX.Element {
  return (
    <Empty title={`${what} need the scope admin`}>
      <p>Your login does not have it. A login that has is created where the router runs:</p>
      <pre class="command">signalbox ui --role admin</pre>
    </Empty>
  )
}
