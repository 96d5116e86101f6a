// signalbox verify and recover: a database as a file, whether a router runs or not.
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { ExitError, exitCodes } from '../errors.ts'
import { counted, paint, plain, type Output } from './output.ts'
import type { Fault, Session } from './session.ts'

function tell(output: Output, { kind, id, message }: Fault): void {
  if (output.json) output.line(JSON.stringify({ kind, id, message }))
  else output.line(`${paint(output, 'red', '✗')} ${kind}${id === undefined ? '' : ` ${id}`}: ${plain(message)}`)
}

function database(session: Session, given: string | undefined): string {
  return given === undefined ? join(session.environment.stateDir, 'signalbox.db') : resolve(given)
}

function counts({ bytes, events, runs }: { bytes: number; events: number; runs: number }): string {
  return `${bytes.toLocaleString('en-US')} bytes, ${events} events, ${runs} runs`
}

export function addSalvage(program: Command, session: () => Session): void {
  program
    .command('verify [database]')
    .description(
      "look whether a database is what was written: its structure, the hash of every body, what hangs on what. The state directory's unless said; exit code 65 when it is not",
    )
    .action(async (given: string | undefined) => {
      const { output, environment } = session()
      const salvage = await environment.salvage()
      const found = salvage.verify(database(session(), given), fault => tell(output, fault))
      if (output.json) output.line(JSON.stringify(found))
      else output.line(`${plain(found.path)}: ${counts(found)}, ${found.findings === 0 ? 'all whole' : counted(found.findings, 'fault')}`)
      if (found.findings > 0)
        throw new ExitError(exitCodes.dataDamaged, 'it is damaged; signalbox recover FILE writes what is whole to a new database, a backup may have more')
    })
  program
    .command('recover <file>')
    .description('write what is whole of a damaged database to a new one, and tell of what is not; the damaged one is only read')
    .option('--from <database>', "the damaged one; the state directory's unless said")
    .action(async (into: string, { from }: { from?: string }) => {
      const { output, environment } = session()
      const path = database(session(), from)
      const salvage = await environment.salvage()
      const made = salvage.recover(path, resolve(into), fault => tell(output, fault))
      if (output.json) return output.line(JSON.stringify(made))
      output.line(
        `${plain(made.path)}: ${counts(made)}; ${made.findings === 0 ? 'nothing is missing' : made.findings === 1 ? 'one thing is missing or was mended' : `${made.findings} things are missing or were mended`}`,
      )
      if (made.path === database(session(), undefined)) return output.line('a router of this state directory starts on it')
      return output.line(plain(`to start on it: move ${path}, ${path}-wal and ${path}-shm away, and put it in the place of the first`))
    })
}
