// Control: free pages never go back to the disk.
import { changed } from './sqlite.mjs'

changed('pragma', function (pragma, text, ...rest) {
  return text.startsWith('incremental_vacuum') ? [] : pragma(text, ...rest)
})
