// Sources, triggers, bots and queues: written all or none, each change guarded by the version that the writer saw.
import type { Statement } from 'better-sqlite3'
import type { BotInput, QueueInput, SourceInput, TriggerInput } from '../../../contract/types.ts'
import { DamagedError, ExitError, exitCodes } from '../../../errors.ts'
import { exactJson } from '../../../exact-json.ts'
import type { DefinitionChange, Definitions, FileSetRow, Noun, Stamp, WriteOutcome } from '../../store.ts'
import { name, positive, time } from './checks.ts'
import { damageText, DamageLog, type DamagedColumn } from './damage.ts'
import type { Db } from '../db.ts'
import { boundedPage, columnBytes } from '../page.ts'
import { parsed, textOf } from './rows.ts'
import type { Sources } from './sources.ts'

export interface DefinitionRow extends Stamp {
  id: string
  definition: string
}

interface NounStatements {
  all: Statement<[], DefinitionRow>
  one: Statement<[string], Stamp & { definition: string }>
  put: Statement
  remove: Statement
}

export const nouns: readonly Noun[] = ['source', 'trigger', 'bot', 'queue']

/** What cannot be of the row of a definition; undefined: nothing. Whether the contract allows it is for its reader to see. */
export function definitionDamage({
  id,
  definition,
  version,
  created_at,
  updated_at,
}: DefinitionRow): DamagedColumn | undefined {
  const of = (column: string, why: string | undefined): DamagedColumn | undefined =>
    why === undefined ? undefined : { column, why }
  const object = parsed(definition) as { id?: unknown } | null
  const isObject = typeof object === 'object' && object !== null
  return (
    of('id', name(id)) ??
    of('definition', isObject ? undefined : 'it is not a JSON object') ??
    of(
      'definition',
      object?.id === id
        ? undefined
        : `its id is ${JSON.stringify(object?.id)}, that of its row is ${JSON.stringify(id)}`,
    ) ??
    of('version', positive(version)) ??
    of('created_at', time(created_at)) ??
    of('updated_at', time(updated_at))
  )
}

/** The reason not to start with a damaged definition: a router without it would miss events, and no message would say so. */
export function damagedDefinition(noun: Noun, id: string, { column, why }: DamagedColumn): ExitError {
  return new ExitError(
    exitCodes.dataDamaged,
    `${damageText(noun, JSON.stringify(id), { column, why })}. The router does not start without a definition: events would be missed. signalbox verify shows all damage; restore a backup, or run signalbox recover FILE, which leaves the damaged ${noun} out, and write it again`,
  )
}

/** A row as a definition with its stamp; the contract checked its shape when it was written. Throws ExitError 65. */
function stamped(noun: Noun, row: DefinitionRow): object & Stamp {
  const { definition, version, created_at, updated_at } = row
  const damaged = definitionDamage(row)
  if (damaged !== undefined) throw damagedDefinition(noun, textOf(row.id), damaged)
  return { ...(exactJson(definition) as object), version, created_at, updated_at }
}

function versionText(id: string, version: number): string {
  return damageText('trigger_version', `${id}, version ${version},`, {
    column: 'definition',
    why: 'it is not what was written',
  })
}

export interface DefinitionTables {
  load(): Definitions
  write(changes: DefinitionChange[], owned?: FileSetRow[]): WriteOutcome
  fileSets(): FileSetRow[]
  triggerVersion(id: string, version: number): TriggerInput | null
  triggerVersions(
    id: string,
    before: number | null,
    limit: number,
    max_bytes?: number,
  ): { version: number; created_at: number; definition: TriggerInput | null }[]
}

/** What a source does, apart from what it is called: as long as that stays, what it is owed stays. */
function working({ enabled = true, config = {} }: SourceInput): string {
  return JSON.stringify([enabled, config])
}

/** A definition whose numbers keep their digits; null where it is no JSON. */
function exactDefinition(text: string): unknown {
  try {
    return exactJson(text)
  } catch {
    return null
  }
}

/** The same of a stored definition; undefined: it cannot be read, and nothing stays. */
function workingOf(definition: string): string | undefined {
  const source = exactDefinition(definition) as SourceInput | null
  return source === null ? undefined : working(source)
}

function nounStatements(db: Db): Record<Noun, NounStatements> {
  return Object.fromEntries(
    nouns.map(noun => [
      noun,
      {
        all: db.prepare<[], DefinitionRow>(
          `SELECT id, version, definition, created_at, updated_at FROM "${noun}" ORDER BY id`,
        ),
        one: db.prepare<[string], Stamp & { definition: string }>(
          `SELECT version, definition, created_at, updated_at FROM "${noun}" WHERE id = ?`,
        ),
        put: db.prepare(
          `INSERT INTO "${noun}" (id, version, definition, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (id) DO UPDATE SET version = excluded.version, definition = excluded.definition, updated_at = excluded.updated_at`,
        ),
        remove: db.prepare(`DELETE FROM "${noun}" WHERE id = ?`),
      },
    ]),
  ) as Record<Noun, NounStatements>
}

/** A trigger at a version; null where it is damaged, which is noted. */
function versionOf(id: string, version: number, text: string, damage: DamageLog): TriggerInput | null {
  const found = exactDefinition(text) as TriggerInput | null
  if (typeof found === 'object' && found !== null && found.id === id && typeof found.action === 'object')
    return found
  damage.add(versionText(id, version))
  return null
}

/** Every definition. Throws ExitError 65 for one that is damaged. */
function loaded(perNoun: Record<Noun, NounStatements>): Definitions {
  return {
    sources: perNoun.source.all.all().map(row => stamped('source', row)) as (SourceInput & Stamp)[],
    triggers: perNoun.trigger.all.all().map(row => stamped('trigger', row)) as (TriggerInput & Stamp)[],
    bots: perNoun.bot.all.all().map(row => stamped('bot', row)) as (BotInput & Stamp)[],
    queues: perNoun.queue.all.all().map(row => stamped('queue', row)) as (QueueInput & Stamp)[],
  }
}

function statements(db: Db) {
  return {
    putVersion: db.prepare(
      'INSERT OR REPLACE INTO trigger_version (trigger_id, version, definition, created_at) VALUES (?, ?, ?, ?)',
    ),
    lastVersion: db
      .prepare<[string], number | null>('SELECT max(version) FROM trigger_version WHERE trigger_id = ?')
      .pluck(),
    getVersion: db
      .prepare<[string, number], string>(
        'SELECT definition FROM trigger_version WHERE trigger_id = ? AND version = ?',
      )
      .pluck(),
    versionsOf: db.prepare<
      [string, number, number],
      { version: number; created_at: number; definition: string }
    >(
      'SELECT version, created_at, definition FROM trigger_version WHERE trigger_id = ? AND version < ? ORDER BY version DESC LIMIT ?',
    ),
    noteDeleted: db.prepare('INSERT OR REPLACE INTO deleted_trigger (trigger_id, deleted_at) VALUES (?, ?)'),
    noteBack: db.prepare('DELETE FROM deleted_trigger WHERE trigger_id = ?'),
    forgetStatus: db.prepare('DELETE FROM bot_status WHERE bot_id = ?'),
    fileSets: db.prepare<[], FileSetRow>('SELECT noun, id, name FROM file_set ORDER BY noun, id'),
    own: db.prepare('INSERT OR REPLACE INTO file_set (noun, id, name) VALUES (?, ?, ?)'),
    disown: db.prepare('DELETE FROM file_set WHERE noun = ? AND id = ?'),
    openRunsOf: {
      bot: db.prepare<[string], number>('SELECT count(*) FROM outbox WHERE bot_id = ?').pluck(),
      queue: db
        .prepare<[string], number>(
          "SELECT count(*) FROM outbox WHERE queue = ? AND state NOT IN ('failed', 'timed_out')",
        )
        .pluck(),
    },
  }
}

/** Why changes cannot be written: another version, or runs that have not ended. */
function refusalOf(
  changes: readonly DefinitionChange[],
  perNoun: ReturnType<typeof nounStatements>,
  openRunsOf: ReturnType<typeof statements>['openRunsOf'],
): Exclude<WriteOutcome, { kind: 'written' }> | undefined {
  for (const { noun, id, version, definition } of changes) {
    const found = perNoun[noun].one.get(id)?.version ?? 0
    if (version !== undefined && version !== found)
      return { kind: 'conflict', noun, id, expected: version, found }
    const open_runs =
      (noun === 'bot' || noun === 'queue') && definition === null ? openRunsOf[noun].get(id)! : 0
    if (open_runs > 0) return { kind: 'in_use', noun, id, open_runs }
  }
  return undefined
}

export function definitionTables(db: Db, sources: Sources, damage = new DamageLog()): DefinitionTables {
  const perNoun = nounStatements(db)
  const sql = statements(db)

  function put(change: DefinitionChange, present: (Stamp & { definition: string }) | undefined): Stamp {
    // A trigger that was deleted and comes again goes on counting: a version never means two things.
    const before = present?.version ?? (change.noun === 'trigger' ? (sql.lastVersion.get(change.id) ?? 0) : 0)
    const stamp = { version: before + 1, created_at: present?.created_at ?? change.at, updated_at: change.at }
    const text = JSON.stringify(change.definition)
    perNoun[change.noun].put.run(change.id, stamp.version, text, stamp.created_at, stamp.updated_at)
    if (change.noun === 'source') {
      const before = present === undefined ? undefined : workingOf(present.definition)
      sources.written(change.id, before !== working(change.definition as SourceInput), change.at)
    }
    if (change.noun === 'trigger') {
      sql.putVersion.run(change.id, stamp.version, text, change.at)
      sql.noteBack.run(change.id)
    }
    return stamp
  }

  return {
    load: () => loaded(perNoun),
    fileSets: () => sql.fileSets.all().filter(({ noun }) => nouns.includes(noun)),
    write(changes, owned = []) {
      const refused = refusalOf(changes, perNoun, sql.openRunsOf)
      if (refused !== undefined) return refused
      const objects = changes.map(change => {
        const present = perNoun[change.noun].one.get(change.id)
        if (change.definition !== null) return put(change, present)
        perNoun[change.noun].remove.run(change.id)
        sql.disown.run(change.noun, change.id)
        if (change.noun === 'trigger' && present !== undefined) sql.noteDeleted.run(change.id, change.at)
        if (change.noun === 'bot') sql.forgetStatus.run(change.id)
        if (change.noun === 'source') sources.deleted(change.id)
        return present === undefined
          ? null
          : { version: present.version, created_at: present.created_at, updated_at: present.updated_at }
      })
      for (const { noun, id, name } of owned) sql.own.run(noun, id, name)
      return { kind: 'written', objects }
    },
    triggerVersion(id, version) {
      const text = sql.getVersion.get(id, version)
      if (text === undefined) return null
      const found = versionOf(id, version, text, damage)
      if (found === null) throw new DamagedError(versionText(id, version))
      return found
    },
    triggerVersions(id, before, limit, max_bytes) {
      const rows = sql.versionsOf.iterate(id, before ?? Number.MAX_SAFE_INTEGER, limit)
      const bytesOf = ({ definition }: { definition: unknown }): number => columnBytes(definition)
      return boundedPage(rows, max_bytes, bytesOf, row => ({
        ...row,
        definition: versionOf(id, row.version, row.definition, damage),
      }))
    },
  }
}
