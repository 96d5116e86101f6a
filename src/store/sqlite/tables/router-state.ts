// What stands until it is said otherwise: that dispatching is paused, and what bots say of themselves.
import type { BotStatus } from '../../store.ts'
import type { Db } from '../db.ts'

export interface Standing {
  paused(): string | null
  /** null: goes on */
  setPaused(reason: string | null): void
  botStatus(): BotStatus[]
  setBotStatus(status: BotStatus, at: number): void
}

const availabilities: readonly unknown[] = ['ready', 'sleeping', 'busy', 'degraded']

/** What a bot said of itself; what it cannot have said counts as nothing. */
function known(availability: BotStatus['availability']): BotStatus['availability'] {
  return availabilities.includes(availability) ? availability : null
}

/** Pauses dispatching in a database of any version, from the next start on. */
export function storePaused(db: Db, reason: string): void {
  db.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES ('paused', ?)").run(reason)
}

export function standing(db: Db): Standing {
  const get = db.prepare<[], string>("SELECT value FROM meta WHERE key = 'paused'").pluck()
  const clear = db.prepare("DELETE FROM meta WHERE key = 'paused'")
  const all = db.prepare<[], Omit<BotStatus, 'drained'> & { drained: number }>(
    'SELECT bot_id, availability, reason, drained, drained_reason FROM bot_status',
  )
  const put = db.prepare(
    'INSERT OR REPLACE INTO bot_status (bot_id, availability, reason, drained, drained_reason, updated_at) VALUES (?, ?, ?, ?, ?, ?)',
  )
  return {
    paused: () => {
      const reason: unknown = get.get()
      return reason === undefined
        ? null
        : typeof reason === 'string'
          ? reason
          : 'the stored reason is damaged'
    },
    setPaused(reason) {
      if (reason === null) clear.run()
      else storePaused(db, reason)
    },
    botStatus: () =>
      all.all().map(row => ({ ...row, availability: known(row.availability), drained: row.drained === 1 })),
    setBotStatus({ bot_id, availability, reason, drained, drained_reason }, at) {
      put.run(bot_id, availability, reason, drained ? 1 : 0, drained_reason, at)
    },
  }
}
