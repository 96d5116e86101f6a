// Control: an event is committed before its runs are.
import { changed } from './sqlite.mjs'

changed('prepare', function (prepare, text) {
  const statement = prepare(text)
  if (!/^\s*INSERT INTO outbox\b/.test(text)) return statement
  const run = statement.run.bind(statement)
  const db = this
  statement.run = (...args) => {
    db.exec('COMMIT')
    db.exec('BEGIN IMMEDIATE')
    return run(...args)
  }
  return statement
})
