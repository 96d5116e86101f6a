import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** What takes longest begins first, so that no core is left with it at the end. */
const long = [
  'sqlite',
  'power-loss',
  'hostile',
  'kill',
  'stalls',
  'contract',
  'kill-points',
  'io-errors',
  'upgrades',
  'damage',
  'neighbours',
  'schedule',
  'cli',
  'simulation',
]

/** Of scripts/test --quick: what is pure, the protocol, and the shape of the code. */
const quick = [
  'test/*.test.ts',
  'test/{client,dashboard,outbound,routing,rpc}/**/*.test.ts',
  'test/contract/open-rpc-client.test.ts',
]

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = long.findIndex(name => moduleId.endsWith(`/${name}.test.ts`))
      return at < 0 ? long.length : at
    }
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  test: {
    include: process.env.SIGNALBOX_QUICK === '1' ? quick : ['test/**/*.test.ts'],
    reporters: ['default', './scripts/plain-reporter.ts'],
    // Two cores: a third worker has what they are left with while tests wait for processes and time limits.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // Only what hangs takes so long, on whatever machine: what a test shows never hangs on it.
    testTimeout: process.env.SIGNALBOX_FULL === '1' ? 3_600_000 : 300_000,
    hookTimeout: 180_000,
  },
})
