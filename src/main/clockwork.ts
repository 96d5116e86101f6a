// The sources that act by themselves.
import { Clock } from '../intake/clock.ts'
import type { Later } from '../intake/timetable.ts'
import type { Acceptor } from '../routing/accept.ts'
import type { Parts } from './parts.ts'

const later: Later = (delay_ms, work) => {
  const timer = setTimeout(work, delay_ms)
  return () => clearTimeout(timer)
}

export function clockwork({ registry, store, now, log }: Parts, acceptor: Acceptor): Clock {
  return new Clock({
    sources: registry.sources,
    accept: incoming => acceptor.accept(incoming),
    skipTicks: skipped => store.skipTicks(skipped),
    now,
    later,
    log: log.event,
    logBug: log.bug,
  })
}
