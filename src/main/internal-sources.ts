// The sources that act by themselves: schedules, polls and watches; and the watch over all sources.
import { Clock } from '../intake/schedules/clock.ts'
import { Poller } from '../intake/polls/poller.ts'
import { SourceWatch } from '../intake/source-watch.ts'
import type { Later } from '../intake/timetable.ts'
import { Exchanges } from '../outbound/exchange.ts'
import type { Acceptor } from '../routing/accept.ts'
import type { Incoming } from '../routing/incoming.ts'
import type { SourceState } from '../store/store.ts'
import type { Parts } from './parts.ts'

const later: Later = (delay_ms, work) => {
  const timer = setTimeout(work, delay_ms)
  return () => clearTimeout(timer)
}

/** What a reading makes events of: items that are new, or a value that crossed a limit. */
function wayOf([first]: readonly Incoming[]): 'poll' | 'watch' {
  return first?.once?.kind === 'state' ? 'watch' : 'poll'
}

export interface Clockwork {
  clock: Clock
  poller: Poller
  start(states: readonly SourceState[]): void
  stop(): Promise<void>
  /** Sources were written or deleted. */
  changed: (source_ids: string[]) => void
}

export function clockwork(parts: Parts, acceptor: Acceptor): Clockwork {
  const {
    registry,
    store,
    config,
    now,
    wall,
    log,
    egress,
    commands,
    readSecret,
    env,
    expressions,
    refused,
    measures,
  } = parts
  const { sources } = registry
  const common = { sources, now, later, log: log.event, logBug: log.bug }
  const exchanges = new Exchanges(egress, config.poll_max_bytes + 1)
  const reading = {
    exchanges,
    commands,
    readSecret,
    env,
    maxBytes: config.poll_max_bytes,
    killGraceMs: config.kill_grace_ms,
    now: wall,
  }
  const clock = new Clock({
    ...common,
    accept: events => measures.timed('clock', () => acceptor.accept(events)),
    now: wall,
    skipTicks: skipped => store.skipTicks(skipped),
  })
  const poller = new Poller({
    ...common,
    accept: events => measures.timed(wayOf(events), () => acceptor.accept(events)),
    store,
    expressions,
    reading,
    config,
  })
  const watch = new SourceWatch({ sources, store, now, elapsed: () => performance.now(), logBug: log.bug })
  refused.onRefused = refusal => watch.refused(refusal)
  return {
    clock,
    poller,
    start(states) {
      clock.start(states)
      poller.start(states)
      watch.start()
    },
    async stop() {
      await Promise.all([clock.stop(), poller.stop(), watch.stop()])
      await exchanges.stop()
    },
    changed(source_ids) {
      clock.changed(source_ids)
      poller.changed(source_ids)
    },
  }
}
