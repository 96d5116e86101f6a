// A store that trusts what it reads: no value of a row is checked. Damage of one row must then be met by others.
import { readFileSync } from 'node:fs'
import { registerHooks, stripTypeScriptTypes } from 'node:module'
import { fileURLToPath } from 'node:url'

registerHooks({
  load(url, context, next) {
    if (!url.endsWith('/store/sqlite/tables/checks.ts')) return next(url, context)
    const source = stripTypeScriptTypes(readFileSync(fileURLToPath(url), 'utf8'))
    const guard = 'export function damagedColumns('
    if (!source.includes(guard)) throw new Error('the guard that this control removes is not there')
    return {
      format: 'module',
      source: source.replace(guard, 'export function damagedColumns() { return none }\nfunction guarded('),
      shortCircuit: true,
    }
  },
})
