// Builds the page to dist/page: hashed files that browsers may keep for ever, each also compressed. Prints the sizes, and fails where one
// is above its budget.
import { globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { build, type Rollup } from 'vite'

const project = fileURLToPath(new URL('..', import.meta.url))
const made = `${project}dist/page`
/** Of this process: two builds at the same time do not disturb each other. */
const building = `${made}.${process.pid}`

/** Bytes, compressed with gzip. */
const budgets = { first_scripts: 45 * 1024, first_styles: 10 * 1024, chunk: 120 * 1024, all: 300 * 1024 }

/** Names of the scripts that are loaded before anything is shown. */
function firstScripts(chunks: readonly Rollup.OutputChunk[]): Set<string> {
  const found = new Set<string>()
  const add = (name: string): void => {
    if (found.has(name)) return
    found.add(name)
    for (const imported of chunks.find(({ fileName }) => fileName === name)?.imports ?? []) add(imported)
  }
  for (const { fileName, isEntry } of chunks) if (isEntry) add(fileName)
  return found
}

function firstStyles(chunks: readonly Rollup.OutputChunk[], first: ReadonlySet<string>): Set<string> {
  return new Set(
    chunks
      .filter(({ fileName }) => first.has(fileName))
      .flatMap(chunk => [...(chunk.viteMetadata?.importedCss ?? [])]),
  )
}

/** What is above its budget, in words. */
function tooLarge(
  sizes: ReadonlyMap<string, number>,
  scripts: ReadonlySet<string>,
  styles: ReadonlySet<string>,
): string[] {
  const sum = (names: Iterable<string>): number =>
    [...names].reduce((total, name) => total + sizes.get(name)!, 0)
  const figures: [string, number, number][] = [
    ['scripts of the first load', sum(scripts), budgets.first_scripts],
    ['styles of the first load', sum(styles), budgets.first_styles],
    ['everything', sum(sizes.keys()), budgets.all],
    ...[...sizes]
      .filter(([name]) => !scripts.has(name))
      .map(([name, size]): [string, number, number] => [name, size, budgets.chunk]),
  ]
  if (process.argv.includes('--sizes'))
    for (const [name, size, most] of figures)
      console.log(`${String(size).padStart(8)} of ${most} bytes: ${name}`)
  return figures
    .filter(([, size, most]) => size > most)
    .map(([name, size, most]) => `${name}: ${size} bytes compressed, the budget is ${most}`)
}

const output = (await build({
  root: `${project}src/dashboard`,
  base: './',
  configFile: false,
  logLevel: 'warn',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    outDir: building,
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
})) as Rollup.RollupOutput

const chunks = output.output.filter(each => each.type === 'chunk')
const sizes = new Map<string, number>()
for (const name of globSync('assets/*.{js,css,svg}', { cwd: building })) {
  const content = readFileSync(`${building}/${name}`)
  const zipped = gzipSync(content, { level: 9 })
  sizes.set(name, zipped.length)
  writeFileSync(`${building}/${name}.gz`, zipped)
  writeFileSync(
    `${building}/${name}.br`,
    brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
  )
}
// A router that serves the page reads whichever is there: it never sees half of it.
mkdirSync(`${project}dist`, { recursive: true })
rmSync(made, { recursive: true, force: true })
renameSync(building, made)

const first = firstScripts(chunks)
const problems = tooLarge(sizes, first, firstStyles(chunks, first))
for (const problem of problems) console.error(`build-page: ${problem}`)
process.exitCode = problems.length > 0 ? 1 : 0
