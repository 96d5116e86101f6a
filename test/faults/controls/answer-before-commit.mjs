// Control: what was written is answered first and committed when there is time.
import { changed } from './sqlite.mjs'

const late = new WeakMap()

/** Commits what was answered already. */
function commitNow(db) {
  const waiting = late.get(db)
  late.delete(db)
  if (waiting !== undefined) waiting()
}

changed('prepare', function (prepare, text) {
  const statement = prepare(text)
  const db = this
  if (text === 'COMMIT') {
    const run = statement.run.bind(statement)
    statement.run = () => {
      late.set(db, () => run())
      setTimeout(commitNow, 20, db)
    }
  }
  if (text === 'BEGIN IMMEDIATE') {
    const run = statement.run.bind(statement)
    statement.run = () => {
      commitNow(db)
      return run()
    }
  }
  return statement
})

// A checkpoint within the transaction would end the router.
changed('pragma', function (pragma, ...given) {
  commitNow(this)
  return pragma(...given)
})
