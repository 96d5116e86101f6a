// signalbox doctor: looks at what usually goes wrong, and says how to mend it.
import type { Command } from 'commander'
import { lstatSync, statfsSync, statSync } from 'node:fs'
import { isOlder, oldestNode, usualReserve } from '../machine.ts'
import { FileError, fileError, readPlainFile } from '../plain-file.ts'
import { paint, plain } from './output.ts'
import { RpcError, type RouterStatusResult } from '../client/client.ts'
import { refusedFindings } from './doctor-refused.ts'
import { NoError, type Session } from './session.ts'

const mostIniBytes = 1_048_576

interface Finding {
  check: string
  verdict: 'ok' | 'info' | 'warn' | 'bad'
  detail: string
  mend?: string
}

const forgejoFiles = [
  '/etc/forgejo/app.ini',
  '/etc/gitea/app.ini',
  '/var/lib/forgejo/custom/conf/app.ini',
  '/var/lib/gitea/custom/conf/app.ini',
  '/data/gitea/conf/app.ini',
]

function nodeVersion(): Finding {
  const detail = `Node ${process.versions.node}`
  return isOlder(process.versions.node, oldestNode)
    ? { check: 'node', verdict: 'bad', detail, mend: `use ${oldestNode} or newer; scripts/start brings it` }
    : { check: 'node', verdict: 'ok', detail }
}

/** Space as a running router sees it, with its own reserve. */
function routerSpace({
  free_bytes,
  reusable_bytes,
  reserve_bytes,
  resume_bytes,
  database_bytes,
  full,
}: RouterStatusResult['store']): Finding {
  const mib = (bytes: number): string => `${Math.floor(bytes / 1_048_576)} MiB`
  const detail = `${mib(free_bytes)} free on the disk, ${mib(reusable_bytes)} free in the database of ${mib(database_bytes)}, ${mib(reserve_bytes)} kept in reserve`
  if (full)
    return {
      check: 'space',
      verdict: 'bad',
      detail: `${detail}: events are answered 507 until ${mib(resume_bytes)} are free`,
      mend: 'free some space, keep events for a shorter time (retention_ms, retention_bytes), or set disk_reserve_bytes in the configuration',
    }
  return { check: 'space', verdict: free_bytes + reusable_bytes < 2 * reserve_bytes ? 'warn' : 'ok', detail }
}

/** What is at a path; undefined: nothing. Answers a finding where that cannot be said. */
function looked<T>(check: string, path: string, look: () => T): T | Finding {
  try {
    return look()
  } catch (error) {
    return {
      check,
      verdict: 'bad',
      detail: fileError(error, path).message,
      mend: 'name another path, or put this one right',
    }
  }
}

function stateDir(path: string): Finding[] {
  const found = looked('state', path, () => statSync(path, { throwIfNoEntry: false }))
  if (found !== undefined && 'verdict' in found) return [found]
  if (found === undefined)
    return [
      {
        check: 'state',
        verdict: 'warn',
        detail: `${path} does not exist yet`,
        mend: 'the router makes it at its first start',
      },
    ]
  const open = (found.mode & 0o077) !== 0
  const mode: Finding = open
    ? {
        check: 'state',
        verdict: 'bad',
        detail: `${path} has mode ${(found.mode & 0o777).toString(8)}`,
        mend: `chmod 700 ${path}`,
      }
    : { check: 'state', verdict: 'ok', detail: `${path} is private` }
  return [mode]
}

/** Space where no router runs: with the reserve that it would keep by default. */
function diskSpace(path: string): Finding[] {
  // An error here is reported by the check of the state directory.
  const found = looked('space', path, () => statSync(path, { throwIfNoEntry: false }))
  if (found === undefined || 'verdict' in found) return []
  const { bavail, blocks, bsize } = statfsSync(path)
  const freeMib = Math.floor((bavail * bsize) / 1_048_576)
  const reserveMib = Math.floor(usualReserve(blocks * bsize) / 1_048_576)
  const space: Finding =
    freeMib < reserveMib
      ? {
          check: 'space',
          verdict: 'bad',
          detail: `${freeMib} MiB free, ${reserveMib} MiB are kept in reserve by default: a router would answer events with 507`,
          mend: 'free some space, or set disk_reserve_bytes in the configuration',
        }
      : { check: 'space', verdict: freeMib < 2 * reserveMib ? 'warn' : 'ok', detail: `${freeMib} MiB free` }
  return [space]
}

/** What rpc.health says is not well. */
async function health(session: Session): Promise<Finding[]> {
  const mends: Record<string, string> = {
    damage:
      'look with signalbox verify; then restore a backup, or signalbox recover FILE and start on that file. A damaged definition: write it again',
    store: 'look at the log of the router and at its disk, then restart it',
    disk: 'free some space',
    wal: 'look for a process that keeps the database open',
  }
  const { checks } = await session.call('rpc.health', {})
  return checks
    .filter(({ ok }) => !ok)
    .map(({ name, detail }) => ({
      check: name,
      verdict: 'bad',
      detail,
      ...(mends[name] === undefined ? {} : { mend: mends[name] }),
    }))
}

function runFindings(status: RouterStatusResult): Finding[] {
  const findings: Finding[] = []
  if (status.runs.dead > 0)
    findings.push({
      check: 'runs',
      verdict: 'warn',
      detail: `${status.runs.dead} dead runs`,
      mend: 'signalbox runs --dead, then runs retry or runs discard',
    })
  for (const warning of status.warnings) {
    const check = /^(trigger|bot) /.exec(warning)?.[1] ?? 'source'
    findings.push({
      check,
      verdict: check === 'source' && warning.includes('cannot') ? 'bad' : 'warn',
      detail: warning,
    })
  }
  return findings
}

function botFindings(status: RouterStatusResult): Finding[] {
  const findings: Finding[] = []
  for (const bot of status.bots) {
    if (!bot.enabled)
      findings.push({
        check: 'bot',
        verdict: 'warn',
        detail: `${bot.id} is disabled${bot.disabled_reason === undefined ? '' : `: ${bot.disabled_reason}`}`,
        mend: 'write it again with signalbox bots put',
      })
    else if (bot.health?.state !== 'closed')
      findings.push({
        check: 'bot',
        verdict: 'warn',
        detail: `${bot.id} failed ${bot.health?.consecutive_failures} times in a row, its runs wait`,
        mend: `signalbox runs --bot ${bot.id}`,
      })
  }
  return findings
}

async function router(session: Session): Promise<Finding[]> {
  const { socket } = session.environment
  const found = looked('router', socket, () => lstatSync(socket, { throwIfNoEntry: false }))
  if (found !== undefined && 'verdict' in found) return [found]
  if (found === undefined)
    return [
      {
        check: 'router',
        verdict: 'bad',
        detail: `no socket at ${socket}: no router runs, or its socket is elsewhere (its path depends on SIGNALBOX_SOCKET, PATH_SOCKET and XDG_RUNTIME_DIR, which may differ where the router runs)`,
        mend: 'start it with scripts/start or signalbox serve; SIGNALBOX_SOCKET names another path',
      },
    ]
  if (!found.isSocket())
    return [{ check: 'router', verdict: 'bad', detail: `${socket} is no socket`, mend: 'move it away' }]
  const mode = found.mode & 0o777
  try {
    const status = await session.call('router.status', {})
    const findings: Finding[] = [
      {
        check: 'router',
        verdict: 'ok',
        detail: `version ${status.version}, pid ${status.pid}, intake ${status.intake_address}${status.admin_address === undefined ? '' : `, admin ${status.admin_address}`}`,
      },
      status.store.synchronous === 2 && status.store.journal_mode === 'wal'
        ? { check: 'store', verdict: 'ok', detail: `SQLite ${status.sqlite_version}, WAL, synchronous=FULL` }
        : {
            check: 'store',
            verdict: 'bad',
            detail: `journal_mode=${status.store.journal_mode}, synchronous=${status.store.synchronous}`,
            mend: 'this is a bug: accepted events would not survive a power loss',
          },
    ]
    findings.push(routerSpace(status.store))
    findings.push(...(await health(session)))
    findings.push(...(await refusedFindings(session, Date.now())))
    if (mode !== 0o600)
      findings.push({
        check: 'socket',
        verdict: 'bad',
        detail: `${socket} has mode ${mode.toString(8)}`,
        mend: `chmod 600 ${socket}`,
      })
    findings.push(...runFindings(status), ...botFindings(status))
    return findings
  } catch (error) {
    return [unreached(socket, error)]
  }
}

/** Why the router did not answer: no process listens, no permission, or an answer of its own. */
function unreached(socket: string, error: unknown): Finding {
  const common = { check: 'router', verdict: 'bad' } as const
  const { message } = error as Error
  if (error instanceof RpcError)
    return {
      ...common,
      detail: `the router at ${socket} refused router.status: ${message}`,
      mend: 'signalbox and the router must be of the same version; the log of the router has more',
    }
  if (/ECONNREFUSED/.test(message))
    return {
      ...common,
      detail: `${socket} is stale, no router listens there: ${message}`,
      mend: 'start the router; it replaces a stale socket by itself',
    }
  if (/EACCES|EPERM/.test(message))
    return {
      ...common,
      detail: `${socket} must be open to this user: ${message}`,
      mend: 'run signalbox as the user of the router',
    }
  return {
    ...common,
    detail: `the router at ${socket} did not answer: ${message}`,
    mend: 'see whether its process runs, and its log',
  }
}

/** The hosts that a Forgejo may send webhooks to, from the [webhook] section of its app.ini. */
function allowedHosts(ini: string): string | undefined {
  const section = /^\s*\[webhook\]\s*$([\s\S]*?)(?=^\s*\[|$(?![\s\S]))/m.exec(ini)?.[1] ?? ''
  return /^\s*ALLOWED_HOST_LIST\s*=\s*(.*?)\s*$/m.exec(section)?.[1]
}

function forgejo(given: string | undefined): Finding {
  const check = 'forgejo'
  const mend = 'in its app.ini set [webhook] ALLOWED_HOST_LIST = external, loopback and restart it'
  for (const path of given === undefined ? forgejoFiles : [given]) {
    let ini: string
    try {
      ini = readPlainFile(path, { most_bytes: mostIniBytes }).bytes.toString('utf8')
    } catch (error) {
      if (!(error instanceof FileError)) throw error
      if (given === undefined) continue
      return {
        check,
        verdict: 'bad',
        detail: error.message,
        mend: `name the app.ini that the Forgejo reads; ${mend}`,
      }
    }
    const hosts = allowedHosts(ini) ?? ''
    const open = hosts
      .split(',')
      .some(entry =>
        ['*', 'loopback', '127.0.0.1', '127.0.0.0/8', 'localhost'].includes(entry.trim().toLowerCase()),
      )
    if (open)
      return {
        check,
        verdict: 'ok',
        detail: `${path} lets webhooks go to loopback (ALLOWED_HOST_LIST = ${hosts})`,
      }
    return {
      check,
      verdict: 'bad',
      detail: `${path} refuses webhooks to this machine: ALLOWED_HOST_LIST is ${hosts === '' ? 'not set, which means external only' : hosts}`,
      mend,
    }
  }
  return {
    check,
    verdict: 'info',
    detail: `no app.ini was found here; if your Forgejo refuses deliveries to loopback ("webhook can only call allowed HTTP servers"), ${mend}`,
  }
}

export function addDoctor(program: Command, session: () => Session): void {
  program
    .command('doctor')
    .description('look at what usually goes wrong, and how to mend it; exit code 1 when something is wrong')
    .option('--forgejo-ini <path>', 'app.ini of the Forgejo that sends webhooks')
    .action(async ({ forgejoIni }: { forgejoIni?: string }) => {
      const current = session()
      const routed = await router(current)
      const spaceSaid = routed.some(finding => finding.check === 'space')
      const space = spaceSaid ? [] : diskSpace(current.environment.stateDir)
      const findings = [
        nodeVersion(),
        ...stateDir(current.environment.stateDir),
        ...space,
        ...routed,
        forgejo(forgejoIni),
      ]
      const signs = {
        ok: paint(current.output, 'green', 'ok  '),
        info: paint(current.output, 'dim', 'info'),
        warn: paint(current.output, 'yellow', 'warn'),
        bad: paint(current.output, 'red', 'BAD '),
      }
      for (const finding of findings) {
        if (current.output.json) current.output.line(JSON.stringify(finding))
        else
          current.output.line(
            `${signs[finding.verdict]} ${finding.check.padEnd(8)} ${plain(finding.detail)}${finding.mend === undefined ? '' : `\n              → ${plain(finding.mend)}`}`,
          )
      }
      if (findings.some(finding => finding.verdict === 'bad')) throw new NoError('')
    })
}
