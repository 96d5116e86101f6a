// The clock: cron sources make one event for each instant of their schedule. That there is never a second is the store's
// to say (a row per instant, in the event's transaction); so any number of starts and kills may ask again.
//
// A schedule is waiting (in the timetable) -> deciding (its ticks are with the store) -> waiting. What the store refuses,
// because the disk is full or too many runs are open, is decided again a second later.
import { isDeepStrictEqual } from 'node:util'
import type { CronConfig, Source } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { Accepted, Incoming } from '../../routing/incoming.ts'
import type { SkippedTicks, SourceState } from '../../store/store.ts'
import { tickEvent } from '../../routing/own-event.ts'
import { decide, following, onTimeMs, schedule, type Decided, type DueTick, type Schedule } from './ticks.ts'
import { rest } from '../../turns.ts'
import { Timetable, type Later } from '../timetable.ts'

const againMs = 1000
/** Events that go to the store together, and schedules that are decided together. */
const together = 256
const atOnce = 64

export interface ClockOptions {
  sources: ReadonlyMap<string, Source>
  accept: (incoming: Incoming[]) => Promise<(Accepted | Fault)[]>
  skipTicks: (skipped: SkippedTicks[]) => Promise<void>
  now: () => number
  later: Later
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

interface Entry {
  config: CronConfig
  schedule: Schedule
  /** up to here everything is decided */
  position: number
  /** undefined: there is none */
  next: DueTick | undefined
  deciding: boolean
}

export class Clock {
  readonly #options: ClockOptions
  readonly #entries = new Map<string, Entry>()
  readonly #timetable: Timetable
  readonly #busy = new Set<Promise<void>>()
  #stopped = false

  constructor(options: ClockOptions) {
    this.#options = options
    const { now, later, log } = options
    this.#timetable = new Timetable({
      now,
      later,
      onDue: ids => this.#do(() => this.#due(ids)),
      onSetBack: ms => {
        log('clock.set_back', { ms })
        this.#do(() => this.#setBack())
      },
    })
  }

  /** Begins where the store says that each schedule was left. */
  start(states: readonly SourceState[]): void {
    const { now, sources, log } = this.#options
    const left = new Map(
      states.map(state => [state.source_id, Math.max(state.since, state.last_tick_at ?? 0)]),
    )
    const at = now()
    const ahead = [...left.values()].filter(position => position > at + onTimeMs).length
    if (ahead > 0)
      log('clock.behind', {
        schedules: ahead,
        detail: 'the clock is behind what was decided before; no tick comes twice',
      })
    for (const source of sources.values()) this.#enter(source, Math.min(left.get(source.id) ?? at, at))
    this.#do(() => this.#plan([...this.#entries.keys()]))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timetable.stop()
    await Promise.all(this.#busy)
  }

  /** Sources were written or deleted. */
  changed(ids: readonly string[]): void {
    const { sources, now } = this.#options
    for (const id of ids) {
      const source = sources.get(id)
      const entry = this.#entries.get(id)
      if (entry !== undefined && source?.enabled === true && isDeepStrictEqual(entry.config, source.config))
        continue
      // What was due before a change is still owed; a source that is deleted or disabled makes no event any more.
      if (entry !== undefined && !entry.deciding && source?.enabled === true)
        this.#do(() => this.#decide([[id, { ...entry, deciding: true }]]))
      this.#entries.delete(id)
      this.#timetable.delete(id)
      if (source !== undefined) this.#enter(source, now())
    }
    this.#do(() => this.#plan(ids.filter(id => this.#timetable.at(id) === undefined)))
  }

  /** When a schedule is due next, without its jitter; undefined: never, or it is not a schedule. */
  nextAt(id: string): number | undefined {
    return this.#entries.get(id)?.next?.scheduled_at
  }

  #enter({ id, source_type, enabled, config }: Source, position: number): void {
    if (source_type !== 'cron' || !enabled) return
    const given = config as unknown as CronConfig
    this.#entries.set(id, {
      config: given,
      schedule: schedule(id, given),
      position,
      next: undefined,
      deciding: false,
    })
  }

  #do(work: () => Promise<void>): void {
    if (this.#stopped) return
    const doing: Promise<void> = work()
      .catch(this.#options.logBug)
      .finally(() => this.#busy.delete(doing))
    this.#busy.add(doing)
  }

  /** Puts schedules into the timetable, a few at a time. */
  async #plan(ids: readonly string[]): Promise<void> {
    for (const [index, id] of ids.entries()) {
      if (this.#stopped) return
      // The first at once: the answer to source.put says when it is due next.
      if (index > 0) await rest()
      const entry = this.#entries.get(id)
      if (entry === undefined || entry.deciding) continue
      const next = following(entry.schedule, entry.position)
      entry.next = next ?? undefined
      if (next !== null) this.#timetable.set(id, next.due_at)
    }
  }

  async #due(ids: string[]): Promise<void> {
    for (let from = 0; from < ids.length && !this.#stopped; from += atOnce) {
      if (from > 0) await rest()
      const entries = ids.slice(from, from + atOnce).flatMap((id): [string, Entry][] => {
        const entry = this.#entries.get(id)
        return entry === undefined || entry.deciding ? [] : [[id, entry]]
      })
      for (const [, entry] of entries) entry.deciding = true
      this.#do(() => this.#decide(entries))
    }
  }

  /** After the clock was set back every instant comes again; those that had their event are known to the store. */
  async #setBack(): Promise<void> {
    const at = this.#options.now()
    for (const entry of this.#entries.values()) entry.position = Math.min(entry.position, at)
    await this.#plan([...this.#entries.keys()])
  }

  /** What is due now, known beforehand in the usual case: then nothing is asked of croner before the event is made. */
  #decided({ schedule: own, position, next }: Entry): Decided {
    const at = this.#options.now()
    if (
      next !== undefined &&
      next.scheduled_at > position &&
      at >= next.due_at &&
      at - next.due_at <= onTimeMs
    )
      return {
        ticks: [{ scheduled_at: next.scheduled_at, caught_up: false }],
        skipped: [],
        position: next.scheduled_at,
      }
    return decide(own, position, at)
  }

  async #decide(entries: [string, Entry][]): Promise<void> {
    const { skipTicks, now, log } = this.#options
    const at = now()
    const decisions = entries.map(([id, entry]) => ({ id, entry, decided: this.#decided(entry) }))
    const skipped = decisions.flatMap(({ id, decided }) =>
      decided.skipped.map(each => ({ ...each, source_id: id, at })),
    )
    for (const { source_id, scheduled_at, count, reason } of skipped)
      log('clock.skipped', { source_id, scheduled_at, count, reason })
    const events = decisions.flatMap(({ id, entry, decided }) =>
      decided.ticks.map(tick => ({ entry, incoming: tickEvent(id, entry.config, tick, true) })),
    )
    const noted = skipped.length === 0 ? undefined : skipTicks(skipped)
    const refused = await this.#accepted(events)
    await noted
    const again: string[] = []
    for (const { id, entry, decided } of decisions) {
      entry.deciding = false
      if (refused.has(entry)) this.#later(id, entry)
      else {
        // The clock may have been set back meanwhile.
        entry.position = Math.min(decided.position, now())
        again.push(id)
      }
    }
    await this.#plan(
      again.filter(id => decisions.some(each => each.id === id && each.entry === this.#entries.get(id))),
    )
  }

  #later(id: string, entry: Entry): void {
    if (this.#entries.get(id) === entry) this.#timetable.set(id, this.#options.now() + againMs)
  }

  /** Makes the events; answers the schedules whose events were not taken. */
  async #accepted(events: { entry: Entry; incoming: Incoming }[]): Promise<Set<Entry>> {
    const { accept, logBug } = this.#options
    const refused = new Set<Entry>()
    const groups = Array.from({ length: Math.ceil(events.length / together) }, (_, index) =>
      events.slice(index * together, (index + 1) * together),
    )
    const answers = groups.map(async group => {
      try {
        const given = await accept(group.map(({ incoming }) => incoming))
        for (const [index, answer] of given.entries())
          if (answer instanceof Fault) refused.add(group[index]!.entry)
      } catch (error) {
        if (!(error instanceof Fault)) logBug(error)
        for (const { entry } of group) refused.add(entry)
      }
    })
    await Promise.all(answers)
    return refused
  }
}
