// signalbox events save: a stored event as a sample for cases, without what looks like a secret.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { fileError } from '../plain-file.ts'
import { plainJson } from '../terminal-text.ts'
import { redactedSample } from '../sample-redaction.ts'
import { plain, record } from './output.ts'
import { UsageError, type Session } from './session.ts'

export function addSave(events: Command, session: () => Session): void {
  events
    .command('save <event> [file]')
    .description(
      'write an event (or "last") as a sample that cases can name, secrets left out; - for standard output',
    )
    .option('--force', 'write over a file that is there')
    .action(async (given: string, path: string | undefined, { force }: { force?: true }) => {
      const current = session()
      const { id, source_id, type, subject, actor, thread, timestamp, headers, payload } = await current.call(
        'event.get',
        {
          event_id: await current.eventId(given),
        },
      )
      const { value, paths } = redactedSample({
        source_id,
        type,
        subject,
        actor,
        thread,
        timestamp,
        headers,
        payload,
      })
      const text = `${plainJson(JSON.stringify(value, null, 2))}\n`
      if (path === '-') return void process.stdout.write(text)
      const file =
        path ?? `samples/${source_id}-${type.replaceAll(/[^A-Za-z0-9._-]/g, '-')}-${id.slice(-8)}.json`
      try {
        mkdirSync(dirname(file), { recursive: true })
        writeFileSync(file, text, { flag: force === true ? 'w' : 'wx' })
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        throw new UsageError(
          code === 'EEXIST'
            ? `${file} is there already; --force writes over it`
            : fileError(error, file, 'written').message,
        )
      }
      if (current.output.json) return record(current.output, { event_id: id, file, redacted: paths })
      current.output.line(plain(`${file}${paths.length === 0 ? '' : `, without ${paths.join(', ')}`}`))
      return undefined
    })
}
