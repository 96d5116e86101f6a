// Decides about a run that awaits approval because a person on a list wrote "approve 1a2b3c4d" or "deny 1a2b3c4d" in a chat.
//
// The text of the message is only compared with a pattern. It reaches no shell: the command line is started with a list of
// arguments, and the id in them is one that the router answered, not the one that was written.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../scripts/signalbox', import.meta.url))
const { user, text, triggers } = JSON.parse(readFileSync(0, 'utf8')).inputs

function signalbox(...args) {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Runs that await approval and may be decided about in the chat, by the last 8 characters of their ids. */
function waiting(short) {
  const lines = signalbox('--json', 'runs', 'list', '--state', 'awaiting_approval', '--limit', '500').split('\n')
  const runs = lines.filter(line => line !== '').map(line => JSON.parse(line))
  return runs.filter(({ id, trigger_id }) => id.endsWith(short) && triggers.includes(trigger_id))
}

function decide() {
  const [, verb, short] = /^ *(approve|deny) ([0-9a-f]{8}) *$/.exec(text) ?? []
  if (verb === undefined) return 'write: approve or deny, a space, and the 8 characters of the run'
  const [run, another] = waiting(short)
  if (run === undefined) return `no run ${short} awaits an approval from the chat`
  if (another !== undefined) return `${short} is not unique; decide on the machine`
  try {
    signalbox('runs', verb, run.id, '--yes', `--as=chat user ${user}`)
    return `${verb === 'approve' ? 'approved' : 'denied'}: ${short} of ${run.trigger_id}`
  } catch (error) {
    return `nothing was done: ${error.stderr.trim().slice(0, 300)}`
  }
}

console.log(JSON.stringify({ answer: decide() }))
