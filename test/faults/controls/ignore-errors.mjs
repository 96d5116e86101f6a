// Control: a commit that fails is taken for one that succeeded. What waits for it is answered.
import { changed } from './sqlite.mjs'

changed('prepare', function (prepare, text) {
  const statement = prepare(text)
  if (text !== 'COMMIT') return statement
  const run = statement.run.bind(statement)
  const db = this
  statement.run = () => {
    try {
      return run()
    } catch {
      if (db.inTransaction) db.exec('ROLLBACK')
      return undefined
    }
  }
  return statement
})
