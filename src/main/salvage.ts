// Looking at databases as files: what signalbox verify and recover do.
import type { Salvage } from '../cli/session.ts'
import { recover } from '../store/sqlite/recover.ts'
import { verify } from '../store/sqlite/verify.ts'

export const salvage: Salvage = {
  verify(path, tell) {
    const looking = verify(path)
    for (;;) {
      const { done, value } = looking.next()
      if (done === true) return value
      tell(value)
    }
  },
  recover,
}
