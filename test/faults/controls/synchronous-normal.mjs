// Control: commits are not synced, as better-sqlite3 has it where nobody asks for FULL.
import { changed } from './sqlite.mjs'

changed('pragma', function (pragma, text, ...rest) {
  return pragma(text === 'synchronous = FULL' ? 'synchronous = NORMAL' : text, ...rest)
})
