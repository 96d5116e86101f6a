// How the router stands: for the navigation and the overview. Read again when runs change, at most every 2 s, and every 30 s.
import { signal } from '@preact/signals'
import type { RefusedStats, RouterStatusResult } from '../contract/types.ts'
import { call, loggedIn } from './rpc.ts'
import type { Counts } from './screens.ts'
import { listen } from './stream/hub.ts'

export const status = signal<RouterStatusResult | undefined>(undefined)
export const refused = signal<RefusedStats | undefined>(undefined)
export const counts = signal<Counts | undefined>(undefined)

const dayMs = 86_400_000
const mostApprovals = 100
let timer: ReturnType<typeof setTimeout> | undefined

async function read(): Promise<void> {
  if (loggedIn.value !== true || document.visibilityState !== 'visible') return
  try {
    const [router, stats, approvals] = await Promise.all([
      call('router.status', {}),
      call('router.stats', { since: Date.now() - dayMs }),
      call('run.list', { state: 'awaiting_approval', limit: mostApprovals }),
    ])
    status.value = router
    refused.value = stats.refused
    counts.value = { runs: router.runs, approvals: approvals.runs.length, refused: stats.refused.count }
  } catch {
    // rpc.ts has noted that the router is not reachable, or that the login has ended; the frame shows it.
  }
}

/** Reads soon: something changed. */
export function readStatusSoon(): void {
  timer ??= setTimeout(() => {
    timer = undefined
    void read()
  }, 2000)
}

export function startStatus(): void {
  listen(({ kind }) => (kind === 'run' || kind === 'gap' || kind === 'ready') && readStatusSoon())
  loggedIn.subscribe(value => value === true && void read())
  document.addEventListener('visibilitychange', () => void read())
  setInterval(() => void read(), 30_000)
}
