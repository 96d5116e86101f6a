// Looking at databases as files: what signalbox verify and recover do.
import type { Salvage } from '../cli/session.ts'
import { compileContract } from '../contract/validators.ts'
import { makeDirectory } from '../paths.ts'
import { recover } from '../store/sqlite/repair/recover.ts'
import { restore } from '../store/sqlite/repair/restore.ts'
import type { Refusal } from '../store/sqlite/repair/tolerant-reader.ts'
import { verify } from '../store/sqlite/repair/verify.ts'
import { refusalOf } from './definition-check.ts'

let checking: Refusal | undefined

/** What a router checks of definitions at its start; made once, since compiling the contract takes a while. */
const refusal: Refusal = (noun, definition) => {
  checking ??= refusalOf(compileContract())
  return checking(noun, definition)
}

export const salvage: Salvage = {
  verify(path, tell) {
    const looking = verify(path, refusal)
    for (;;) {
      const { done, value } = looking.next()
      if (done === true) return value
      tell(value)
    }
  },
  recover: (path, into, tell) => recover(path, into, tell, refusal),
  restore(path, stateDir, tell) {
    makeDirectory(stateDir)
    return restore(path, { stateDir, at: Date.now(), tell, refusal })
  },
}
