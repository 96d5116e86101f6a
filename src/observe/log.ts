// The log: one JSON record a line on standard error, one line per unit of work (event.accepted, run.attempted).
import { destination, pino, type Logger } from 'pino'
import { Fault, type ErrorName } from '../errors.ts'
import { plainJson } from '../terminal-text.ts'

export interface Log {
  /** One thing that was done, with everything that an operator asks of it. */
  event: (event: string, fields: Record<string, unknown>) => void
  warn: (event: string, fields: Record<string, unknown>) => void
  /** Something that must not happen; the record has the stack. What the store cannot do for now is a warning. */
  bug: (error: unknown) => void
  flush: () => void
}

/** Records wait for each other up to so many bytes, or so long. */
const bufferBytes = 4096
const flushMs = 200

/** What work in the background meets on a full disk and while the router stops; it is done later. */
const notNow: ReadonlySet<ErrorName> = new Set(['storage_full', 'overloaded', 'not_ready', 'shutting_down'])

export function openLog(level: string): Log {
  const out = destination({ fd: 2, sync: false, minLength: bufferBytes })
  // Standard error may be a terminal, and a record has texts of senders.
  const lines = { write: (line: string) => out.write(plainJson(line)) }
  const logger: Logger = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":${Date.now()}`,
      formatters: { level: label => ({ level: label }) },
    },
    lines,
  )
  const timer = setInterval(() => out.flush(), flushMs)
  timer.unref()
  return {
    event: (event, fields) => logger.info(fields, event),
    warn: (event, fields) => logger.warn(fields, event),
    bug: error => {
      if (error instanceof Fault && notNow.has(error.fault))
        return logger.warn({ error: error.message }, 'storage.refused')
      logger.error(
        { err: error instanceof Error ? { message: error.message, stack: error.stack } : String(error) },
        'bug',
      )
      out.flush()
    },
    flush: () => {
      try {
        out.flushSync()
      } catch {
        // Standard error is gone, so this cannot be reported.
      }
    },
  }
}
