// The package: what is in it, which Node it takes, and that it works where it is installed without the sources.
import { spawn } from 'node:child_process'
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, type TestContext } from 'vitest'
import { oldestNode } from '../../src/machine.ts'
import { freshDirectory } from '../support/router.ts'
import { finished, installed, type Installed } from './installed.ts'

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
  engines: { node: string }
  private?: boolean
}
const PATH = [dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter)

describe('the command', () => {
  test('asks for the Node that the router asks for', () => {
    expect(manifest.engines.node).toBe(`>=${oldestNode}`)
  })

  test.each([
    ['20.20.2', 78],
    ['24.17.9', 78],
    ['24.18.0', 78],
    ['24.18.1', 0],
    ['24.19.0', 0],
    ['25.0.0', 0],
    ['100.0.0', 0],
  ])('on Node %s ends with %i', async (version, code) => {
    const directory = freshDirectory()
    cpSync('bin', join(directory, 'bin'), { recursive: true })
    cpSync('package.json', join(directory, 'package.json'))
    mkdirSync(join(directory, 'dist'))
    writeFileSync(join(directory, 'dist/signalbox.js'), "console.log('it goes on')\n")
    const older = join(directory, 'older.cjs')
    writeFileSync(
      older,
      `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })\n`,
    )
    const ran = await finished(
      [process.execPath, '--require', older, join(directory, 'bin/signalbox.cjs')],
      directory,
      { PATH },
    )
    const sentence = `signalbox: Node 24.18.1 or newer is needed; found ${version} at ${process.execPath}\n`
    expect(ran).toEqual(
      code === 0 ? { code, out: 'it goes on\n', err: '' } : { code, out: '', err: sentence },
    )
  })
})

describe('installed into an empty directory', () => {
  let made: Installed | string = ''
  beforeAll(async () => {
    made = await installed()
    if (typeof made === 'string') console.log(`SKIPPED: ${made}; the package was not tried`)
  })
  afterAll(() => {
    if (typeof made !== 'string') made.remove()
  })
  const here = ({ skip }: TestContext): Installed => (typeof made === 'string' ? skip(made) : made)

  /** The environment of a person in a directory: no sources, and no TypeScript that Node would run. */
  const environment = (directory: string): Record<string, string> => ({
    PATH,
    HOME: directory,
    NODE_OPTIONS: '--no-strip-types',
    SIGNALBOX_LOG_LEVEL: 'error',
  })

  test('has JavaScript, declarations, schemas, migrations and the page, and no sources', context => {
    const { files, directory } = here(context)
    expect(files.filter(path => /\.tsx?$/.test(path) && !path.endsWith('.d.ts'))).toEqual([])
    expect(files.filter(path => /^(src|test|node_modules)\//.test(path))).toEqual([])
    for (const path of [
      'bin/signalbox.cjs',
      'dist/signalbox.js',
      'dist/client/worker.d.ts',
      'dist/page/index.html',
      'openrpc.json',
      'README.md',
      'CHANGELOG.md',
    ])
      expect(files).toContain(path)
    for (const path of globSync('schemas/**/*.json')) expect(files).toContain(path)
    for (const path of globSync('**/*.sql', { cwd: 'src' })) expect(files).toContain(`dist/${path}`)
    for (const path of globSync('**/*.ts', { cwd: 'src', exclude: ['dashboard/**'] }))
      expect(files).toContain(`dist/${path.slice(0, -2)}js`)
    expect(manifest.private).toBeUndefined()
    // What a file names beside it, be it for a thread, a process or its declarations, is there.
    const names = /(?:new URL\('|from '|import\(['"])(\.{1,2}\/[^'"]+\.\w+)['"]/g
    const own = join(directory, 'node_modules/signalbox')
    const dangling = files
      .filter(path => /\.(js|d\.ts)$/.test(path) && !path.startsWith('dist/page/'))
      .flatMap(path =>
        [...readFileSync(join(own, path), 'utf8').matchAll(names)].map(([, name]) =>
          resolve(own, dirname(path), name!),
        ),
      )
      .filter(path => !existsSync(path))
    expect(dangling).toEqual([])
  })

  test('serve --demo runs the tutorial, takes an event, and shows its page', async context => {
    const { directory, program } = here(context)
    const home = freshDirectory()
    const router = spawn(
      program,
      ['serve', '--demo', '--intake-address', '127.0.0.1:0', '--admin-address', '127.0.0.1:0'],
      {
        cwd: directory,
        env: environment(home),
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    onTestFinished(() => void router.kill('SIGKILL'))
    const lines = createInterface(router.stdout)[Symbol.asyncIterator]()
    const until = async (pattern: RegExp): Promise<RegExpExecArray> => {
      for (;;) {
        const { value, done } = await lines.next()
        if (done === true) throw new Error(`the router ended before it said ${pattern}`)
        const found = pattern.exec(value)
        if (found !== null) return found
      }
    }
    // The lines as they are printed, pasted into a shell.
    const pasted = async (command: string): Promise<string> => {
      const { code, out, err } = await finished(['/bin/sh', '-c', command], directory, environment(home))
      expect(code, err).toBe(0)
      return out
    }
    const [, url, signature, file] = await until(
      /^curl .* POST (\S+) .*X-Forgejo-Signature: (\w+)' --data-binary @(\S+)$/,
    )
    const delivered = await fetch(url!, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-forgejo-event-type': 'push',
        'x-forgejo-delivery': 'first',
        'x-forgejo-signature': signature!,
      },
      body: readFileSync(file!),
    })
    expect(delivered.status).toBeLessThan(300)
    expect(((await delivered.json()) as { runs: string[] }).runs).toHaveLength(4)
    const [runs] = await until(/^\S*signalbox.* runs --event last$/)
    expect(await pasted(runs)).toContain('demo-greeter')
    const [explain] = await until(/^\S*signalbox.* explain last demo-4-release$/)
    expect(await pasted(explain)).toContain('release')
    const [ui] = await until(/^\S*signalbox.* ui$/)
    const [, port] = /http:\/\/[a-z.]+:(\d+)\//.exec(await pasted(ui))!
    const page = await fetch(`http://127.0.0.1:${port}/`)
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('assets/')])
    router.kill('SIGTERM')
    expect(await new Promise(done => router.once('exit', done))).toBe(0)
  })

  test('a worker and a client are compiled against it and run', async context => {
    const { directory, program } = here(context)
    const home = freshDirectory()
    const own = join(home, 'own')
    mkdirSync(own)
    symlinkSync(join(directory, 'node_modules'), join(own, 'node_modules'))
    cpSync('test/package/worker-program.txt', join(own, 'worker.ts'))
    writeFileSync(
      join(own, 'wrong.ts'),
      "import { worker } from 'signalbox/worker'\nawait worker({ socket: 'x', bot_id: 7, handler: async () => 1 })\n",
    )
    writeFileSync(join(own, 'package.json'), '{"type": "module"}')
    const compile = (file: string): ReturnType<typeof finished> => {
      const options = [
        '--target',
        'es2024',
        '--module',
        'nodenext',
        '--strict',
        '--types',
        'node',
        '--typeRoots',
        resolve('node_modules/@types'),
      ]
      return finished([process.execPath, resolve('node_modules/typescript/bin/tsc'), ...options, file], own, {
        PATH,
      })
    }
    expect(await compile('worker.ts')).toEqual({ code: 0, out: '', err: '' })
    // Control: the types are looked at.
    expect((await compile('wrong.ts')).out).toContain("Type 'number' is not assignable to type 'string'")
    const router = spawn(program, ['serve', '--intake-address', '127.0.0.1:0'], {
      cwd: home,
      env: environment(home),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(() => void router.kill('SIGKILL'))
    const [, socket] = await new Promise<RegExpExecArray>(found => {
      createInterface(router.stdout).on('line', line => {
        const match = /^ *control socket +(\S+)/.exec(line)
        if (match !== null) found(match)
      })
    })
    expect(await finished([process.execPath, 'worker.js', socket!], own, environment(home))).toEqual({
      code: 0,
      out: '{"words":3}\n',
      err: '',
    })
  })
})
