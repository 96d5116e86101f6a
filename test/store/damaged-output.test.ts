// Damage of what attempts printed: it costs the part, and is noted. Attempts go on printing, and runs end.
import { expect, test } from 'vitest'
import { DamagedStore, t0 } from '../support/damaged-store.ts'

const limits = { output_bytes: 65_536, output_total_bytes: 1_073_741_824 }

async function printed(): Promise<{
  damaged: DamagedStore
  run: string
  print: (offset: number, text: string) => Promise<void>
  text: () => Promise<string>
}> {
  const damaged = new DamagedStore()
  const run = (await damaged.emit(t0, [{}])).run_ids[0]!
  await damaged.claimed(t0)
  const print = (offset: number, text: string): Promise<void> =>
    damaged.store.appendOutput(
      [{ run_id: run, attempt: 1, stream: 'stdout', at: t0, offset, content: Buffer.from(text) }],
      limits,
    )
  await print(0, 'one\n')
  await print(4, 'two\n')
  const text = async (): Promise<string> =>
    (await damaged.store.output({ run_id: run, max_bytes: 1_048_576 }))!.parts
      .map(({ content }) => Buffer.from(content).toString())
      .join('')
  return { damaged, run, print, text }
}

test.each([
  ['stream', "'strout'"],
  ['at', '-9000000000000000'],
  ['split', '2'],
])('a damaged %s of a part costs that part', async (column, value) => {
  const { damaged, run, print, text } = await printed()
  damaged.hurt(`UPDATE output_part SET ${column} = ${value} WHERE offset = 0`)
  expect(await text()).toBe('two\n')
  await print(8, 'three\n')
  expect(await text()).toBe('two\nthree\n')
  await damaged.complete(run, t0 + 2)
})

test.each([
  ['total_bytes', '-1'],
  ['kept_bytes', '9000000000000000'],
  ['parts', '-3'],
  ['head_end', '9000000000'],
])('a damaged %s of an attempt is counted again', async (column, value) => {
  const { damaged, print, text } = await printed()
  damaged.hurt(`UPDATE attempt_output SET ${column} = ${value}`)
  expect(await text()).toBe('one\ntwo\n')
  await print(8, 'three\n')
  expect(damaged.damage).toContainEqual(expect.stringContaining(`attempt_output.${column}`))
  expect(await text()).toBe('one\ntwo\nthree\n')
  expect(damaged.db.prepare('SELECT total_bytes, kept_bytes, parts FROM attempt_output').get()).toEqual({
    total_bytes: 14,
    kept_bytes: 14,
    parts: 3,
  })
})

test('a damaged row of an attempt does not stop retention', async () => {
  const { damaged, run } = await printed()
  await damaged.complete(run, t0 + 2)
  damaged.mistype('attempt_output', "UPDATE attempt_output SET total_bytes = CAST('x' AS BLOB)")
  await damaged.swept({ event_ms: 1, dead_ms: 1, dedupe_ms: 1, now: t0 + 1e9 })
  expect(
    damaged.db
      .prepare('SELECT (SELECT count(*) FROM attempt_output) + (SELECT count(*) FROM output_part)')
      .pluck()
      .get(),
  ).toBe(0)
})

test('a damaged count of all output is made again', async () => {
  const { damaged, print } = await printed()
  damaged.hurt("UPDATE meta SET value = 'x' WHERE key = 'output_bytes'")
  await print(8, 'three\n')
  expect(damaged.db.prepare("SELECT value FROM meta WHERE key = 'output_bytes'").pluck().get()).toBe(
    14 + 3 * 64,
  )
})
