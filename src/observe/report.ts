// What the router says of itself: router.status and rpc.health.
import { programVersion } from '../contract/document.ts'
import type { Bot, Config, RouterStatusResult, RpcHealthResult } from '../contract/types.ts'
import type { Store } from '../store/store.ts'
import type { DiskState } from './disk.ts'

/** Beyond it checkpoints are not getting through. */
const longestWalBytes = 64 * 1024 * 1024

/** Every router makes its database with auto_vacuum; one that another program rewrote may be without. */
const keepsItsSize =
  'the database file never becomes smaller: it was written by another program, without auto_vacuum; stop the router and write a new one with signalbox recover'

export interface ReportOptions {
  config: Config
  now: () => number
  started_at: number
  store: Store
  disk: () => DiskState
  /** runs that are with bots now */
  active: () => number
  /** why dispatching is paused; null: it is not */
  paused: () => string | null
  sources: ReadonlyMap<string, unknown>
  triggers: ReadonlyMap<string, unknown>
  /** all bots, with their health */
  bots: () => Bot[]
  addresses: { socket: string; intake: string; admin?: string }
  /** what blocks events or runs, in words */
  warnings: () => string[]
  /** damage of the database that was met, in words, newest last */
  damage: () => readonly string[]
}

export async function routerStatus({
  config,
  now,
  started_at,
  store,
  disk,
  sources,
  triggers,
  bots,
  addresses,
  warnings,
  paused,
}: ReportOptions): Promise<RouterStatusResult> {
  const [counts, facts, { gives_back }] = await Promise.all([store.counts(), store.facts(), store.space()])
  const { sqlite_version, ...storeFacts } = facts
  const { free_bytes, reserve_bytes, resume_bytes, full } = disk()
  const pausedWhy = paused()
  return {
    version: programVersion(),
    pid: process.pid,
    node_version: process.versions.node,
    sqlite_version,
    started_at,
    uptime_ms: now() - started_at,
    state_dir: config.state_dir,
    socket: addresses.socket,
    intake_address: addresses.intake,
    ...(addresses.admin === undefined ? {} : { admin_address: addresses.admin }),
    events: {
      logged: counts.events,
      bytes: counts.event_bytes,
      kept_ms: config.retention_ms,
      ...(counts.oldest_at === null ? {} : { oldest_at: counts.oldest_at }),
    },
    runs: { pending: counts.pending, running: counts.running, held: counts.held, dead: counts.dead },
    sources: sources.size,
    triggers: triggers.size,
    bots: bots(),
    store: { ...storeFacts, free_bytes, reserve_bytes, resume_bytes, full },
    warnings: [...warnings(), ...(gives_back ? [] : [keepsItsSize])],
    ...(pausedWhy === null ? {} : { paused: pausedWhy }),
  }
}

/** Damage that the detail of a check names; the log has all. */
const mostNamed = 5

function damageDetail(found: readonly string[]): string {
  if (found.length === 0) return 'no damage was met in the database'
  const named = found.slice(-mostNamed).join('; ')
  return `${found.length} damaged values were met: ${named}. signalbox verify shows all damage; restore a backup or signalbox recover`
}

/** Asks the parts that matter for a real answer each. */
export async function routerHealth({
  now,
  started_at,
  store,
  disk,
  active,
  damage,
}: ReportOptions): Promise<RpcHealthResult> {
  const begun = performance.now()
  const facts = await store.facts().catch(() => undefined)
  const tookMs = (performance.now() - begun).toFixed(1)
  const wal_bytes = facts?.wal_bytes ?? 0
  const { free_bytes, reserve_bytes, resume_bytes, full } = disk()
  const space = `${free_bytes} bytes free on the disk, ${facts?.reusable_bytes ?? 0} free in the database, ${reserve_bytes} kept in reserve`
  const checks = [
    {
      name: 'store',
      ok: facts !== undefined,
      detail:
        facts === undefined ? 'the store does not answer' : `writer and reader answered in ${tookMs} ms`,
    },
    {
      name: 'disk',
      ok: !full,
      detail: full ? `${space}; intake answers 507 until ${resume_bytes} bytes are free` : space,
    },
    { name: 'wal', ok: wal_bytes < longestWalBytes, detail: `${wal_bytes} bytes wait to be checkpointed` },
    { name: 'damage', ok: damage().length === 0, detail: damageDetail(damage()) },
    { name: 'dispatcher', ok: true, detail: `${active()} runs are with bots` },
  ]
  return {
    status: checks.every(check => check.ok) ? 'ok' : 'degraded',
    version: programVersion(),
    uptime_ms: now() - started_at,
    checks,
  }
}
