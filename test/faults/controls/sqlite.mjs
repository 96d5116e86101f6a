// What the controls have in common: the product's SQLite, changed under it. Imported before it, in its threads too.
import { createRequire } from 'node:module'

const Database = createRequire(import.meta.url)('better-sqlite3')

/** Puts change in place of a method of every database; it is given the method and what it was called with. */
export function changed(method, change) {
  const real = Database.prototype[method]
  Database.prototype[method] = function (...args) {
    return change.call(this, real.bind(this), ...args)
  }
}
