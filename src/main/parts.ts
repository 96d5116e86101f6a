// The parts that the rooms of the router share.
import type { Backtests } from '../backtest/backtests.ts'
import type { Config } from '../contract/types.ts'
import type { compileContract } from '../contract/validators.ts'
import type { Commands } from '../outbound/commands.ts'
import type { RefusedDeliveries } from '../intake/webhooks/refused-deliveries.ts'
import type { Egress } from '../outbound/egress.ts'
import type { DamageWatch } from '../observe/damage.ts'
import type { DiskWatch } from '../observe/disk.ts'
import type { Log } from '../observe/log.ts'
import type { Measures } from '../observe/measures.ts'
import type { Environment } from '../paths.ts'
import type { ExpressionProcess } from '../routing/expressions.ts'
import type { Registry } from '../routing/registry.ts'
import type { ReadSecret } from '../secrets.ts'
import type { Backups } from '../store/sqlite/file/backups.ts'
import type { Store, TokenRow } from '../store/store.ts'
import type { ToolRules } from '../tools.ts'

/** What the router is made of, and what its rooms are built with. */
export interface Parts {
  config: Config
  log: Log
  /** for all that waits: it is never set back (steady-clock.ts) */
  now: () => number
  /** for what is held against the time of others: schedules, signatures */
  wall: () => number
  store: Store
  sqlite_version: string
  registry: Registry
  disk: DiskWatch
  /** damage of the database that was met */
  damage: DamageWatch
  expressions: ExpressionProcess
  backtests: Backtests
  backups: Backups
  env: Environment
  readSecret: ReadSecret
  /** what is printed by others, without the secrets that the router knows */
  redactSecrets: (text: string) => string
  /** the same secrets, for output that comes in chunks */
  hiddenSecrets: () => Iterable<Buffer>
  commands: Commands
  refused: RefusedDeliveries
  /** those of the start */
  tokens: readonly TokenRow[]
  egress: Egress
  tools: ToolRules
  measures: Measures
  contract: ReturnType<typeof compileContract>
}
