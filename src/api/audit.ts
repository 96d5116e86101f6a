// The audit log: which calls are recorded, and what of them.
import type { AuditEntry } from '../contract/types.ts'
import type { MethodContract } from '../contract/validators.ts'
import { asFault } from '../errors.ts'
import type { AuditPage, AuditRow, Store } from '../store/store.ts'
import type { Principal } from './principal.ts'

const hourMs = 3_600_000
/** Refused and failed calls that are recorded in an hour; others are counted, so that a client that loops does not fill the disk. */
const mostRefusals = 100
const mostIds = 20
const longestId = 100
/** These have records of their own: the log of events, the history of runs. */
const ownRecords: ReadonlySet<string> = new Set(['event.emit', 'event.dispatch'])
const changing: ReadonlySet<MethodContract['scope']> = new Set([
  'emit',
  'write',
  'operate',
  'approve',
  'admin',
])
const readingOnly: ReadonlySet<string> = new Set(['token.list', 'login.list', 'audit.list'])

/** Whether calls of a method are recorded. Refusals always are. */
export function isRecorded({ name, scope }: Pick<MethodContract, 'name' | 'scope'>): boolean {
  return (changing.has(scope) && !ownRecords.has(name) && !readingOnly.has(name)) || name === 'login.create'
}

/** The ids in params or in a result: of members whose names end in _id, and of objects and of lists of objects. */
export function idsOf(...values: unknown[]): string[] {
  const found = new Set<string>()
  const add = (id: unknown): void => {
    if (typeof id === 'string' && found.size < mostIds) found.add(id.slice(0, longestId))
  }
  for (const [name, value] of values.flatMap(
    each => Object.entries(Object(each) as object) as [string, unknown][],
  )) {
    if (name.endsWith('_id') || (name === 'queue' && typeof value === 'string')) add(value)
    else
      for (const each of [value].flat())
        if (typeof each === 'object' && each !== null) add((each as { id?: unknown }).id)
  }
  return [...found]
}

export interface AuditOptions {
  store: Pick<Store, 'audit' | 'auditEntries'>
  now: () => number
  /** Called for each call that its caller may not make. Default: nothing is called. */
  onForbidden?: (caller: Principal) => void
  logBug: (error: unknown) => void
}

export class Audit {
  readonly #options: AuditOptions
  #hour = 0
  #refusals = 0
  #counted = 0

  constructor(options: AuditOptions) {
    this.#options = options
  }

  /** Records a call that was made. Resolves once the entry is committed. Never throws: the call has had its effect. */
  done(principal: Principal, method: string, ids: string[]): Promise<void> {
    return this.#write([this.#row(principal, method, ids, 'done', null)])
  }

  /** Records a call that was refused or failed. */
  failed(principal: Principal, method: string | null, ids: string[], error: unknown): Promise<void> {
    const { fault, reason } = asFault(error)
    const outcome = fault === 'forbidden' || fault === 'unauthorized' ? 'refused' : 'failed'
    if (fault === 'forbidden' && method !== null) this.#options.onForbidden?.(principal)
    const rows = this.#ofPastHour()
    if (this.#refusals++ < mostRefusals) rows.push(this.#row(principal, method, ids, outcome, reason))
    else this.#counted++
    return rows.length === 0 ? Promise.resolve() : this.#write(rows)
  }

  async entries(page: AuditPage): Promise<AuditEntry[]> {
    return this.#options.store.auditEntries(page)
  }

  /** Writes how many refusals were counted and not recorded. */
  async flush(): Promise<void> {
    const rows = this.#countedRows()
    if (rows.length > 0) await this.#write(rows)
  }

  /** What was counted in the hour before, once another has begun. */
  #ofPastHour(): AuditRow[] {
    const hour = Math.floor(this.#options.now() / hourMs)
    if (hour === this.#hour) return []
    const rows = this.#countedRows()
    this.#hour = hour
    this.#refusals = 0
    return rows
  }

  #countedRows(): AuditRow[] {
    const count = this.#counted
    if (count === 0) return []
    this.#counted = 0
    const several = {
      principal: 'several',
      name: null,
      interface: 'http',
      address: null,
      method: null,
      ids: [],
      code: null,
    } as const
    return [{ ...several, ids: [], at: this.#options.now(), outcome: 'refused', count }]
  }

  #row(
    { id, name, interface: of, address }: Principal,
    method: string | null,
    ids: string[],
    outcome: AuditRow['outcome'],
    code: string | null,
  ): AuditRow {
    return {
      at: this.#options.now(),
      principal: id,
      name: name ?? null,
      interface: of,
      address: address ?? null,
      method,
      ids,
      outcome,
      code,
      count: 1,
    }
  }

  async #write(rows: AuditRow[]): Promise<void> {
    try {
      await this.#options.store.audit(rows)
    } catch (error) {
      this.#options.logBug(error)
    }
  }
}
