// scripts/bench [accept|deliver|runs|match|backtest|schedules|dispatch|page]: all of them unless named. Bounded, on loopback and temporary directories.
import { benchAccept } from './accept.ts'
import { benchBacktest } from './backtest.ts'
import { benchDeliver } from './deliver.ts'
import { benchDispatch } from './dispatch.ts'
import { benchMatch } from './match.ts'
import { benchPage } from './page.ts'
import { benchRuns } from './runs.ts'
import { benchSchedules } from './schedules.ts'

const benches: Record<string, () => Promise<void>> = {
  accept: benchAccept,
  deliver: benchDeliver,
  runs: benchRuns,
  match: benchMatch,
  backtest: benchBacktest,
  schedules: benchSchedules,
  dispatch: benchDispatch,
  page: benchPage,
}
const named = process.argv.slice(2)
const wrong = named.find(name => benches[name] === undefined)
if (wrong !== undefined) {
  console.error(`bench: ${wrong} is none of ${Object.keys(benches).join(', ')}`)
  process.exit(64)
}
for (const name of named.length > 0 ? named : Object.keys(benches)) await benches[name]!()
process.exit(0)
