// Opens a link in the browser of the user.
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Whether there is a screen on which a browser could open. */
export function hasScreen(env: Record<string, string | undefined>): boolean {
  return process.platform === 'darwin' || env.DISPLAY !== undefined || env.WAYLAND_DISPLAY !== undefined
}

/**
 * Opens a link, if there is a program that does. It is given a file that leads there: other users of the machine can see the arguments of a
 * program, and the link logs in the first one to use it.
 * @param directory where the file is written; others must not be able to read it
 */
export function openLink(url: string, directory: string): void {
  const file = join(directory, 'ui.html')
  const target = url.replaceAll('&', '&amp;').replaceAll('"', '&quot;')
  writeFileSync(
    file,
    `<!doctype html><meta charset="utf-8"><title>Signalbox</title><meta http-equiv="refresh" content="0; url=${target}">\n`,
    { mode: 0o600 },
  )
  const opener = spawn(process.platform === 'darwin' ? 'open' : 'xdg-open', [file], {
    stdio: 'ignore',
    detached: true,
  })
  // Without such a program there is the link that was printed.
  opener.on('error', () => undefined)
  opener.unref()
}
