// Control: what was written is answered first and committed when there is time.
import { changed } from './sqlite.mjs'

const late = new WeakMap()

changed('prepare', function (prepare, text) {
  const statement = prepare(text)
  const db = this
  const commitNow = () => {
    const waiting = late.get(db)
    late.delete(db)
    if (waiting !== undefined) waiting()
  }
  if (text === 'COMMIT') {
    const run = statement.run.bind(statement)
    statement.run = () => {
      late.set(db, () => run())
      setTimeout(commitNow, 20)
    }
  }
  if (text === 'BEGIN IMMEDIATE') {
    const run = statement.run.bind(statement)
    statement.run = () => {
      commitNow()
      return run()
    }
  }
  return statement
})
