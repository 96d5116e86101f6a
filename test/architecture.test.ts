// The structure of the sources: which directory may import which, how long things may be, and where a few dangerous words may be used.
import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const files = globSync('src/**/*.{ts,tsx}').toSorted()
const text = (file: string): string => readFileSync(file, 'utf8')

/** What each directory of src may import, besides itself. Files directly in src/ are named; leaves are open to all. */
const leaves = [
  'body-text',
  'characters',
  'context-files',
  'decimal',
  'durations',
  'errors',
  'exact-json',
  'forge',
  'ids',
  'json-text',
  'machine',
  'nearest-id',
  'orphan',
  'paths',
  'plain-file',
  'callback-token',
  'redaction',
  'sample-redaction',
  'secrets',
  'steady-clock',
  'terminal-text',
  'tools',
  'turns',
  'validation-error',
]
const allowed: Record<string, string[]> = {
  contract: ['exact-json', 'nearest-id', 'validation-error'],
  'body-text': [],
  characters: [],
  'context-files': [],
  decimal: [],
  durations: [],
  errors: [],
  'exact-json': ['decimal'],
  forge: [],
  ids: [],
  'json-text': [],
  machine: [],
  'nearest-id': [],
  orphan: [],
  paths: [],
  'plain-file': [],
  'callback-token': [],
  redaction: [],
  'sample-redaction': [],
  secrets: ['contract', 'plain-file', 'redaction'],
  'steady-clock': [],
  'terminal-text': [],
  tools: [],
  turns: [],
  'validation-error': ['nearest-id'],
  config: ['contract', ...leaves],
  store: ['contract', ...leaves],
  backtest: ['routing', 'store', 'contract', ...leaves],
  routing: ['store/store.ts', 'store/flow.ts', 'contract', ...leaves],
  outbound: ['contract', ...leaves],
  http: leaves,
  definitions: ['contract', ...leaves],
  api: ['definitions', 'http', 'routing', 'store/store.ts', 'store/flow.ts', 'contract', ...leaves],
  intake: [
    'definitions',
    'http',
    'routing',
    'outbound',
    'store/store.ts',
    'store/flow.ts',
    'contract',
    ...leaves,
  ],
  delivery: ['outbound', 'store/store.ts', 'store/flow.ts', 'contract', ...leaves],
  observe: ['store/store.ts', 'contract', ...leaves],
  client: ['contract', 'exact-json'],
  dashboard: ['contract', 'sample-redaction'],
  cli: ['client', ...leaves],
  signalbox: ['cli/program.ts', 'main', ...leaves],
  main: ['*'],
}

const basis = ['db', 'page', 'next-due', 'space']
/** The same within two directories that have many: lower ones first. */
const within: Record<string, Record<string, string[]>> = {
  'store/sqlite/': {
    db: [],
    page: [],
    'next-due': [],
    space: ['db'],
    tables: basis,
    flow: ['tables', ...basis],
    file: basis,
    repair: ['tables', 'file', ...basis],
    engine: ['tables', 'flow', 'file', ...basis],
  },
  'intake/': {
    timetable: [],
    webhooks: [],
    schedules: ['timetable'],
    polls: ['timetable'],
    'source-watch': ['webhooks'],
    emitting: [],
  },
}

function room(path: string): string {
  return path.split('/')[0]!.replace(/\.tsx?$/, '')
}

/** Paths below src that a file imports. */
function imports(file: string): string[] {
  const found = [...text(file).matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map(match => match[1]!)
  return found
    .map(path => new URL(path, `file:///${file}`).pathname.slice(1))
    .flatMap(path => (path.startsWith('src/') ? [path.slice(4)] : []))
}

/** Every import that the table does not allow. */
function strangers(read: (file: string) => string[] = imports): string[] {
  return files.flatMap(file => {
    const own = room(file.slice(4))
    const mayImport = allowed[own] ?? []
    return read(file)
      .filter(
        path =>
          room(path) !== own &&
          !mayImport.includes('*') &&
          !mayImport.includes(room(path)) &&
          !mayImport.includes(path),
      )
      .map(path => `${file} imports ${path}`)
  })
}

test('imports go the ways of the design', () => {
  expect(files.length).toBeGreaterThan(50)
  expect(files.map(file => room(file.slice(4))).filter(own => allowed[own] === undefined)).toEqual([])
  expect(strangers()).toEqual([])
})

test('control: an import from the methods to delivery, or to a way in, is noticed', () => {
  const broken = strangers(file =>
    file === 'src/api/jsonrpc.ts' ? ['delivery/dispatcher.ts', 'intake/schedules/clock.ts'] : imports(file),
  )
  expect(broken).toEqual([
    'src/api/jsonrpc.ts imports delivery/dispatcher.ts',
    'src/api/jsonrpc.ts imports intake/schedules/clock.ts',
  ])
})

/** Every import inside a directory of the second table that it does not allow. */
function wrongWithin(read: (file: string) => string[] = imports): string[] {
  return Object.entries(within).flatMap(([directory, table]) => {
    const inside = (path: string): string[] =>
      path.startsWith(directory) ? [room(path.slice(directory.length))] : []
    return files.flatMap(file =>
      inside(file.slice(4)).flatMap(own =>
        read(file)
          .filter(path => inside(path).some(to => to !== own && table[own]?.includes(to) !== true))
          .map(path => `${file} imports ${path}`),
      ),
    )
  })
}

test('imports inside the store and the intake go from high to low', () => {
  expect(wrongWithin()).toEqual([])
})

test('control: an import from a table to the flow, or between two kinds of sources, is noticed', () => {
  const wrong: Record<string, string> = {
    'src/store/sqlite/tables/rows.ts': 'store/sqlite/flow/moves.ts',
    'src/intake/polls/items.ts': 'intake/webhooks/server.ts',
  }
  expect(wrongWithin(file => [wrong[file] ?? []].flat())).toEqual([
    'src/store/sqlite/tables/rows.ts imports store/sqlite/flow/moves.ts',
    'src/intake/polls/items.ts imports intake/webhooks/server.ts',
  ])
})

/** Files of one class each, longer until the class is split. None may be added. */
const longer = [
  'src/delivery/dispatcher.ts',
  'src/delivery/worker-claims.ts',
  'src/store/sqlite/flow/admission.ts',
  'src/store/sqlite/flow/claim.ts',
]

test('no file is longer than 400 lines', () => {
  const long = files.filter(file => file !== 'src/contract/types.ts' && text(file).split('\n').length > 401)
  expect(long.filter(file => !longer.includes(file))).toEqual([])
  expect(longer.filter(file => !long.includes(file))).toEqual([])
})

test.each([
  ['process.env', /process\.env/, ['src/signalbox.ts', 'src/config.ts', 'src/main.ts']],
  ['SQL', /\b(SELECT .+ FROM|INSERT (OR \w+ )?INTO|UPDATE \w+ SET|DELETE FROM)\b/, ['src/store/']],
  ['a shell', /shell: true|execSync|exec\(/, []],
  [
    'a child process',
    /node:child_process/,
    [
      'src/outbound/spawner.ts',
      'src/outbound/commands.ts',
      'src/routing/expressions.ts',
      'src/definitions/schema-checks.ts',
      'src/cli/browser.ts',
    ],
  ],
  ['randomness', /Math\.random/, ['src/main/delivery.ts']],
  // Secrets are compared in constant time: no comparison of a token, a secret, a signature or a digest with its like.
  [
    'a comparison of secrets',
    /\b(secret|token|signature|digest|expected|given)(\.\w+)? ?[!=]== ?(secret|token|signature|digest|expected|given)\b/,
    [],
  ],
  ['fetch', /\bfetch\(/, ['src/dashboard/rpc.ts']],
  ['any', /: any\b|as any\b|<any>/, []],
] as [string, RegExp, string[]][])('%s is used only where it belongs', (_name, pattern, places) => {
  const found = files.filter(file =>
    pattern.test(
      text(file)
        .replaceAll(/\/\/.*|\/\*[\s\S]*?\*\//g, '')
        .replaceAll(/^.*db\.exec\(.*$/gm, '')
        .replaceAll(/\.exec\(/g, ''),
    ),
  )
  expect(found.filter(file => !places.some(place => file.startsWith(place)))).toEqual([])
})

test('decisions are pure: no clock, no randomness, no input or output', () => {
  const pure = [
    'src/routing/pattern.ts',
    'src/routing/matcher.ts',
    'src/routing/explain.ts',
    'src/routing/addresses.ts',
    'src/api/envelope.ts',
    'src/store/sqlite/flow/moved-rows.ts',
    'src/validation-error.ts',
    'src/routing/conditions.ts',
    'src/routing/nearest-path.ts',
    'src/routing/backtest.ts',
    ...globSync('src/routing/index/*.ts'),
    'src/delivery/run-state.ts',
    'src/delivery/retry-schedule.ts',
    'src/delivery/breaker.ts',
    'src/steady-clock.ts',
    'src/forge.ts',
    ...globSync('src/intake/webhooks/providers/*.ts'),
  ]
  const impure = pure.filter(file =>
    /Date\.now|new Date\(\)|Math\.random|node:fs|setTimeout|process\./.test(text(file)),
  )
  expect(impure).toEqual([])
})

test('the lock file names no host and every package has its hash', () => {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { version?: string; integrity?: string; resolved?: string }>
  }
  const packages = Object.entries(lock.packages).filter(([name]) => name !== '')
  expect(packages.filter(([, entry]) => entry.resolved !== undefined)).toEqual([])
  expect(packages.filter(([, entry]) => entry.integrity === undefined).map(([name]) => name)).toEqual([])
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<
    'dependencies' | 'devDependencies',
    Record<string, string>
  >
  const loose = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
    ([, version]) => !/^\d+\.\d+\.\d+$/.test(version),
  )
  expect(loose).toEqual([])
})
