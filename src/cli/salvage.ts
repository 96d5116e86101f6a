// signalbox verify, recover and restore: a database as a file. verify also works while a router runs.
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { ExitError, exitCodes } from '../errors.ts'
import { counted, paint, plain, type Output } from './output.ts'
import type { Fault, Restored, Session } from './session.ts'

function tell(output: Output, { kind, id, message }: Fault): void {
  if (output.json) output.line(JSON.stringify({ kind, id, message }))
  else
    output.line(`${paint(output, 'red', '✗')} ${kind}${id === undefined ? '' : ` ${id}`}: ${plain(message)}`)
}

function database(session: Session, given: string | undefined): string {
  return given === undefined ? join(session.environment.stateDir, 'signalbox.db') : resolve(given)
}

function counts({ bytes, events, runs }: { bytes: number; events: number; runs: number }): string {
  return `${bytes.toLocaleString('en-US')} bytes, ${events} events, ${runs} runs`
}

function printRestored(output: Output, { path, from, bytes, events, runs, aside }: Restored): void {
  output.line(`${plain(path)}: restored from ${plain(from)}, verified: ${counts({ bytes, events, runs })}`)
  if (aside !== null) {
    output.line(`the database before it was moved to ${plain(aside)}; nothing was deleted`)
    output.line(`to undo this: signalbox restore ${plain(join(aside, 'signalbox.db'))}`)
  }
  output.line('next: start the router; it takes events, and dispatching is paused')
  output.line('then: signalbox runs shows what would start; signalbox resume starts dispatching')
}

export function addSalvage(program: Command, session: () => Session): void {
  program
    .command('verify [database]')
    .description(
      'check a database for damage: structure, body hashes, references. Default: that of the state directory. Exit code 65 when it is not',
    )
    .action(async (given: string | undefined) => {
      const { output, environment } = session()
      const salvage = await environment.salvage()
      const found = salvage.verify(database(session(), given), fault => tell(output, fault))
      if (output.json) output.line(JSON.stringify(found))
      else
        output.line(
          `${plain(found.path)}: ${counts(found)}, ${found.findings === 0 ? 'all whole' : counted(found.findings, 'fault')}`,
        )
      if (found.findings > 0)
        throw new ExitError(
          exitCodes.dataDamaged,
          'it is damaged; signalbox recover FILE copies everything undamaged into a new database, a backup may have more',
        )
    })
  program
    .command('recover <file>')
    .description(
      'copy everything undamaged into a new database and list what was lost; the damaged one is only read',
    )
    .option('--from <database>', 'the damaged one. Default: that of the state directory')
    .action(async (into: string, { from }: { from?: string }) => {
      const { output, environment } = session()
      const path = database(session(), from)
      const salvage = await environment.salvage()
      const made = salvage.recover(path, resolve(into), fault => tell(output, fault))
      if (output.json) return output.line(JSON.stringify(made))
      output.line(
        `${plain(made.path)}: ${counts(made)}; ${made.findings === 0 ? 'nothing is missing' : made.findings === 1 ? 'one thing is missing or was mended' : `${made.findings} things are missing or were mended`}`,
      )
      if (made.path === database(session(), undefined))
        return output.line('a router of this state directory starts on it')
      if (path === database(session(), undefined))
        return output.line(plain(`to start on it: signalbox restore ${made.path}`))
      return output.line(
        plain(
          `to start on it: move ${path}, ${path}-wal and ${path}-shm away, and put it in the place of the first`,
        ),
      )
    })
}

/** signalbox restore: a backup in the place of the database. */
export function addRestore(program: Command, session: () => Session): void {
  program
    .command('restore <file>')
    .description(
      'put a backup in the place of the database of a stopped router; the old one is moved aside, and the next start is paused',
    )
    .option('--state-dir <path>', "of the router. Default: the command line's own, as for verify")
    .action(async (file: string, { stateDir }: { stateDir?: string }) => {
      const { output, environment } = session()
      const salvage = await environment.salvage()
      const directory = stateDir === undefined ? environment.stateDir : resolve(stateDir)
      const made = await salvage.restore(resolve(file), directory, fault => tell(output, fault))
      if (output.json) return output.line(JSON.stringify(made))
      return printRestored(output, made)
    })
}
