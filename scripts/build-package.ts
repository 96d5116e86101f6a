// Compiles src/ into dist/ and puts the files beside it that the program reads while it runs. The page is there already (scripts/setup).
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const project = fileURLToPath(new URL('..', import.meta.url))
const dist = join(project, 'dist')
const compiled = join(dist, 'compiled')

/** Paths of threads, processes and declarations, which the compiler leaves as they are in the sources. */
const leftOver = /(\bnew URL\('|\bfrom '|\bimport\(['"])(\.{1,2}\/[^'"]+)\.ts(?=['"])/g

/** The whole program as JavaScript, and the declarations of what other programs import. What is wrong goes to standard error. */
function compile(): void {
  rmSync(compiled, { recursive: true, force: true })
  for (const config of ['tsconfig.build.json', 'tsconfig.declarations.json']) {
    const args = ['node_modules/typescript/bin/tsc', '-p', config, '--outDir', compiled]
    const { status } = spawnSync(process.execPath, args, { cwd: project, stdio: ['ignore', 2, 2] })
    if (status !== 0) process.exit(1)
  }
  for (const name of globSync('**/*.{js,d.ts}', { cwd: compiled })) {
    const file = join(compiled, name)
    const text = readFileSync(file, 'utf8')
    const rewritten = text.replaceAll(leftOver, '$1$2.js')
    if (rewritten !== text) writeFileSync(file, rewritten)
  }
}

/** What is not TypeScript: migrations of the database, and whatever else the program reads from its own directory. */
function copyOthers(): void {
  const sources = join(project, 'src')
  for (const name of globSync('**/*.{sql,json,js,mjs,cjs}', { cwd: sources, exclude: ['dashboard/**'] })) {
    mkdirSync(dirname(join(compiled, name)), { recursive: true })
    cpSync(join(sources, name), join(compiled, name))
  }
}

if (!existsSync(join(dist, 'page/index.html'))) {
  console.error(
    'build: the page is not in dist/page; node scripts/build-page.ts shows why it cannot be built',
  )
  process.exit(1)
}
compile()
copyOthers()
for (const name of readdirSync(dist)) {
  if (!name.startsWith('page') && name !== 'compiled') rmSync(join(dist, name), { recursive: true })
}
for (const name of readdirSync(compiled)) renameSync(join(compiled, name), join(dist, name))
rmSync(compiled, { recursive: true })
