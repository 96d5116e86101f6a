// Sources, triggers, bots and queues: written all or none, each change guarded by the version that the writer saw.
import type { Statement } from 'better-sqlite3'
import type { BotInput, QueueInput, SourceInput, TriggerInput } from '../../contract/types.ts'
import type { DefinitionChange, Definitions, FileSetRow, Noun, Stamp, WriteOutcome } from '../store.ts'
import type { Db } from './open.ts'
import type { Sources } from './sources.ts'

interface Row extends Stamp {
  id: string
  definition: string
}

interface NounStatements {
  all: Statement<[], Row>
  one: Statement<[string], Stamp & { definition: string }>
  put: Statement
  remove: Statement
}

const nouns: readonly Noun[] = ['source', 'trigger', 'bot', 'queue']

/** A row as a definition with its stamp; the contract checked its shape when it was written. */
function parsed({ definition, version, created_at, updated_at }: Row): object & Stamp {
  return { ...(JSON.parse(definition) as object), version, created_at, updated_at }
}

export interface DefinitionTables {
  load(): Definitions
  write(changes: DefinitionChange[], owned?: FileSetRow[]): WriteOutcome
  fileSets(): FileSetRow[]
  triggerVersion(id: string, version: number): TriggerInput | null
  triggerVersions(id: string, before: number | null, limit: number): { version: number; created_at: number; definition: TriggerInput }[]
}

/** What a source does, apart from what it is called: as long as that stays, what it is owed stays. */
function working({ enabled = true, config = {} }: SourceInput): string {
  return JSON.stringify([enabled, config])
}

function nounStatements(db: Db): Record<Noun, NounStatements> {
  return Object.fromEntries(
    nouns.map(noun => [
      noun,
      {
        all: db.prepare<[], Row>(`SELECT id, version, definition, created_at, updated_at FROM "${noun}" ORDER BY id`),
        one: db.prepare<[string], Stamp & { definition: string }>(`SELECT version, definition, created_at, updated_at FROM "${noun}" WHERE id = ?`),
        put: db.prepare(
          `INSERT INTO "${noun}" (id, version, definition, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (id) DO UPDATE SET version = excluded.version, definition = excluded.definition, updated_at = excluded.updated_at`,
        ),
        remove: db.prepare(`DELETE FROM "${noun}" WHERE id = ?`),
      },
    ]),
  ) as Record<Noun, NounStatements>
}

export function definitionTables(db: Db, sources: Sources): DefinitionTables {
  const perNoun = nounStatements(db)
  const putVersion = db.prepare('INSERT OR REPLACE INTO trigger_version (trigger_id, version, definition, created_at) VALUES (?, ?, ?, ?)')
  const lastVersion = db.prepare<[string], number | null>('SELECT max(version) FROM trigger_version WHERE trigger_id = ?').pluck()
  const getVersion = db.prepare<[string, number], string>('SELECT definition FROM trigger_version WHERE trigger_id = ? AND version = ?').pluck()
  const versionsOf = db.prepare<[string, number, number], { version: number; created_at: number; definition: string }>(
    'SELECT version, created_at, definition FROM trigger_version WHERE trigger_id = ? AND version < ? ORDER BY version DESC LIMIT ?',
  )
  const noteDeleted = db.prepare('INSERT OR REPLACE INTO deleted_trigger (trigger_id, deleted_at) VALUES (?, ?)')
  const noteBack = db.prepare('DELETE FROM deleted_trigger WHERE trigger_id = ?')
  const forgetStatus = db.prepare('DELETE FROM bot_status WHERE bot_id = ?')
  const fileSets = db.prepare<[], FileSetRow>('SELECT noun, id, name FROM file_set ORDER BY noun, id')
  const own = db.prepare('INSERT OR REPLACE INTO file_set (noun, id, name) VALUES (?, ?, ?)')
  const disown = db.prepare('DELETE FROM file_set WHERE noun = ? AND id = ?')
  const openRunsOf = {
    bot: db.prepare<[string], number>('SELECT count(*) FROM outbox WHERE bot_id = ?').pluck(),
    queue: db.prepare<[string], number>("SELECT count(*) FROM outbox WHERE queue = ? AND state NOT IN ('failed', 'timed_out')").pluck(),
  }

  function put(change: DefinitionChange, present: (Stamp & { definition: string }) | undefined): Stamp {
    // A trigger that was deleted and comes again goes on counting: a version never means two things.
    const before = present?.version ?? (change.noun === 'trigger' ? (lastVersion.get(change.id) ?? 0) : 0)
    const stamp = { version: before + 1, created_at: present?.created_at ?? change.at, updated_at: change.at }
    const text = JSON.stringify(change.definition)
    perNoun[change.noun].put.run(change.id, stamp.version, text, stamp.created_at, stamp.updated_at)
    if (change.noun === 'source') {
      const before = present === undefined ? undefined : working(JSON.parse(present.definition) as SourceInput)
      sources.written(change.id, before !== working(change.definition as SourceInput), change.at)
    }
    if (change.noun === 'trigger') {
      putVersion.run(change.id, stamp.version, text, change.at)
      noteBack.run(change.id)
    }
    return stamp
  }

  return {
    load: () => ({
      sources: perNoun.source.all.all().map(parsed) as (SourceInput & Stamp)[],
      triggers: perNoun.trigger.all.all().map(parsed) as (TriggerInput & Stamp)[],
      bots: perNoun.bot.all.all().map(parsed) as (BotInput & Stamp)[],
      queues: perNoun.queue.all.all().map(parsed) as (QueueInput & Stamp)[],
    }),
    fileSets: () => fileSets.all(),
    write(changes, owned = []) {
      for (const { noun, id, version, definition } of changes) {
        const found = perNoun[noun].one.get(id)?.version ?? 0
        if (version !== undefined && version !== found) return { kind: 'conflict', noun, id, expected: version, found }
        const open_runs = (noun === 'bot' || noun === 'queue') && definition === null ? openRunsOf[noun].get(id)! : 0
        if (open_runs > 0) return { kind: 'in_use', noun, id, open_runs }
      }
      const objects = changes.map(change => {
        const present = perNoun[change.noun].one.get(change.id)
        if (change.definition !== null) return put(change, present)
        perNoun[change.noun].remove.run(change.id)
        disown.run(change.noun, change.id)
        if (change.noun === 'trigger' && present !== undefined) noteDeleted.run(change.id, change.at)
        if (change.noun === 'bot') forgetStatus.run(change.id)
        if (change.noun === 'source') sources.deleted(change.id)
        return present === undefined ? null : { version: present.version, created_at: present.created_at, updated_at: present.updated_at }
      })
      for (const { noun, id, name } of owned) own.run(noun, id, name)
      return { kind: 'written', objects }
    },
    triggerVersion(id, version) {
      const text = getVersion.get(id, version)
      return text === undefined ? null : (JSON.parse(text) as TriggerInput)
    },
    triggerVersions: (id, before, limit) =>
      versionsOf.all(id, before ?? Number.MAX_SAFE_INTEGER, limit).map(row => ({ ...row, definition: JSON.parse(row.definition) as TriggerInput })),
  }
}
