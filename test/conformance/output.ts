// What every store must do with the output of attempts.
import { beforeEach, describe, expect, test } from 'vitest'
import type { OutputPage, OutputPart, OutputRequest, Store } from '../../src/store/store.ts'
import { limits, newEvent, newRun, type StoreUnderTest } from './store.ts'

const t0 = 1_790_000_000_000
const large = { output_bytes: 1_048_576, output_total_bytes: 1_073_741_824 }
const all = 10 * 1_048_576

class Printer {
  store!: Store

  /** Runs that are running, in their order. */
  async running(count = 1): Promise<string[]> {
    const { store } = this
    const events = Array.from({ length: count }, () => newEvent({ runs: [newRun()] }))
    await store.accept(events, limits)
    const { runs } = await store.claim({
      bots: [{ bot_id: 'deployer', room: 1000 }],
      limit: 1000,
      now: t0,
      lease_token: 'token-1',
      lease_until: t0 + 60_000,
    })
    return runs.toSorted((a, b) => a.seq - b.seq).map(run => run.id)
  }

  async end(run_id: string): Promise<void> {
    const [outcome] = await this.store.move([
      {
        run_id,
        move: 'complete',
        from: ['running'],
        to: 'completed',
        archive: true,
        at: t0 + 5,
        lease_token: 'token-1',
      },
    ])
    expect(outcome!.kind).toBe('moved')
  }

  part(run_id: string, content: string | Buffer, change: Partial<OutputPart> = {}): OutputPart {
    return { run_id, attempt: 1, stream: 'stdout', at: t0, content: Buffer.from(content), ...change }
  }

  async page(run_id: string, change: Partial<OutputRequest> = {}): Promise<OutputPage> {
    const page = await this.store.output({ run_id, max_bytes: all, ...change })
    expect(page).not.toBeNull()
    return page!
  }

  async text(run_id: string): Promise<string> {
    return (await this.page(run_id)).parts
      .map(({ content }) => Buffer.from(content).toString('latin1'))
      .join('')
  }
}

export function outputConformance(underTest: () => StoreUnderTest): void {
  const printer = new Printer()
  const reopen = async (): Promise<void> => {
    printer.store = (await underTest().open(t0)).store
  }
  beforeEach(reopen)
  describe('parts', () => partTests(printer, reopen))
  describe('limits', () => limitTests(printer, reopen))
  describe('removal', () => removalTests(printer))
}

function partTests(printer: Printer, reopen: () => Promise<void>): void {
  test('come back in their order, byte for byte, after a restart', async () => {
    const [run_id] = await printer.running()
    const told: string[] = []
    printer.store.onRunChange = ids => told.push(...ids)
    const bytes = Buffer.from([0, 255, 10])
    await printer.store.appendOutput(
      [
        printer.part(run_id!, 'one\n', { offset: 0 }),
        printer.part(run_id!, bytes, { offset: 4, stream: 'stderr', at: t0 + 1 }),
      ],
      large,
    )
    expect(told).toEqual([run_id])
    await reopen()
    expect(await printer.page(run_id!)).toMatchObject({
      attempt: 1,
      next: 7,
      more: false,
      total_bytes: 7,
      skipped_bytes: 0,
      removed: false,
      // The restart ended it.
      finished: true,
      parts: [
        { offset: 0, stream: 'stdout', at: t0, content: new Uint8Array(Buffer.from('one\n')), split: false },
        { offset: 4, stream: 'stderr', at: t0 + 1, content: new Uint8Array(bytes), split: false },
      ],
    })
  })

  test('without an offset go behind what there is', async () => {
    const [run_id] = await printer.running()
    await printer.store.appendOutput(
      [printer.part(run_id!, 'a\n', { offset: 0 }), printer.part(run_id!, 'log\n', { stream: 'log' })],
      large,
    )
    await printer.store.appendOutput([printer.part(run_id!, 'b\n', { offset: 2 })], large)
    expect((await printer.page(run_id!)).parts.map(each => each.offset)).toEqual([0, 2, 6])
  })

  test('of an attempt that began again replace those before', async () => {
    const [run_id] = await printer.running()
    await printer.store.appendOutput([printer.part(run_id!, 'first\n', { offset: 0 })], large)
    await printer.store.appendOutput([printer.part(run_id!, 'second\n', { offset: 0 })], large)
    expect(await printer.text(run_id!)).toBe('second\n')
  })

  test('of another attempt are apart', async () => {
    const [run_id] = await printer.running()
    await printer.store.appendOutput(
      [
        printer.part(run_id!, 'one\n', { offset: 0 }),
        printer.part(run_id!, 'two\n', { attempt: 2, offset: 0 }),
      ],
      large,
    )
    expect((await printer.page(run_id!)).parts[0]!.content).toEqual(new Uint8Array(Buffer.from('two\n')))
    expect((await printer.page(run_id!, { attempt: 1 })).parts[0]!.content).toEqual(
      new Uint8Array(Buffer.from('one\n')),
    )
    expect(await printer.store.output({ run_id: run_id!, attempt: 3, max_bytes: all })).toBeNull()
  })

  test('are answered in pages', async () => {
    const [run_id] = await printer.running()
    await printer.store.appendOutput(
      Array.from({ length: 5 }, (_, index) =>
        printer.part(run_id!, `${index}${'x'.repeat(98)}\n`, { offset: 100 * index }),
      ),
      large,
    )
    const seen: number[] = []
    let after = 0
    for (
      let page = await printer.page(run_id!, { max_bytes: 250 });
      ;
      page = await printer.page(run_id!, { max_bytes: 250, after })
    ) {
      seen.push(page.parts.length)
      after = page.next
      if (!page.more) break
    }
    expect([seen, after]).toEqual([[2, 2, 1], 500])
  })

  test('of a run that does not exist are dropped', async () => {
    const missing = newRun().id
    await printer.store.appendOutput([printer.part(missing, 'x', { offset: 0 })], large)
    expect(await printer.store.output({ run_id: missing, max_bytes: all })).toBeNull()
  })
}

function limitTests(printer: Printer, reopen: () => Promise<void>): void {
  test('of an attempt keep the head and the last of the rest', async () => {
    const [run_id] = await printer.running()
    const line = (index: number): string => `${String(index).padStart(9, '0')}\n`.repeat(100)
    for (let from = 0; from < 400; from += 100) {
      const parts = Array.from({ length: 100 }, (_, index) =>
        printer.part(run_id!, line(from + index), { offset: 1000 * (from + index) }),
      )
      await printer.store.appendOutput(parts, { ...large, output_bytes: 131_072 })
    }
    const page = await printer.page(run_id!)
    const kept = page.parts.reduce((sum, { content }) => sum + content.length, 0)
    expect(kept).toBeLessThanOrEqual(131_072)
    expect(kept).toBeGreaterThan(130_000)
    expect(page).toMatchObject({
      total_bytes: 400_000,
      skipped_bytes: 400_000 - kept,
      next: 400_000,
      removed: false,
    })
    const gap = page.parts.findIndex(
      (part, index) =>
        index > 0 && part.offset > page.parts[index - 1]!.offset + page.parts[index - 1]!.content.length,
    )
    const head = page.parts.slice(0, gap).reduce((sum, { content }) => sum + content.length, 0)
    // The head ends with a line.
    expect(head).toBe(65_530)
  })

  test('count what the producer dropped already', async () => {
    const [run_id] = await printer.running()
    await printer.store.appendOutput(
      [printer.part(run_id!, 'a\n', { offset: 0 }), printer.part(run_id!, 'z\n', { offset: 1_000_000 })],
      large,
    )
    expect(await printer.page(run_id!)).toMatchObject({ total_bytes: 1_000_002, skipped_bytes: 999_998 })
  })

  test('of an attempt bound its parts, too', async () => {
    const [run_id] = await printer.running()
    const parts = Array.from({ length: 3000 }, (_, index) => printer.part(run_id!, '\n', { offset: index }))
    await printer.store.appendOutput(parts, { ...large, output_bytes: 65_536 })
    const { parts: kept, skipped_bytes } = await printer.page(run_id!)
    expect([kept.length, kept[511]!.offset, kept[512]!.offset, skipped_bytes]).toEqual([
      1024, 511, 2488, 1976,
    ])
  })

  test('of all remove the output of the oldest ended runs', async () => {
    const ids = await printer.running(4)
    const [open, old, young, last] = ids as [string, string, string, string]
    const most = { output_bytes: 65_536, output_total_bytes: 105_000 }
    const print = (run_id: string): Promise<void> =>
      printer.store.appendOutput([printer.part(run_id, 'x'.repeat(30_000), { offset: 0 })], most)
    for (const id of [open, old, young]) await print(id)
    await printer.end(young)
    await printer.end(old)
    await reopen()
    await print(last)
    expect(await printer.page(old)).toMatchObject({
      parts: [],
      total_bytes: 30_000,
      skipped_bytes: 0,
      removed: true,
      finished: true,
    })
    for (const id of [open, young, last])
      expect(await printer.page(id)).toMatchObject({ removed: false, parts: [{ offset: 0 }] })
  })

  test('of all leave attempts that run alone', async () => {
    const ids = await printer.running(3)
    const most = { output_bytes: 65_536, output_total_bytes: 40_000 }
    for (const id of ids)
      await printer.store.appendOutput([printer.part(id, 'x'.repeat(30_000), { offset: 0 })], most)
    for (const id of ids) expect(await printer.page(id)).toMatchObject({ removed: false })
  })
}

function removalTests(printer: Printer): void {
  test('output goes with its run', async () => {
    const [run_id] = await printer.running()
    await printer.store.appendOutput([printer.part(run_id!, 'x\n', { offset: 0 })], large)
    await printer.end(run_id!)
    const later = { now: t0 + 1e12, event_ms: 1, dead_ms: 1, dedupe_ms: 1, slice: 10 }
    while ((await printer.store.retain(later)).more);
    expect(await printer.store.output({ run_id: run_id!, max_bytes: all })).toBeNull()
  })

  test('a large call does not keep events waiting', async () => {
    const [run_id] = await printer.running()
    const parts = Array.from({ length: 160 }, (_, index) =>
      printer.part(run_id!, Buffer.alloc(65_536, 'x'), { offset: 65_536 * index }),
    )
    let isPrinted = false
    const printed = printer.store.appendOutput(parts, large).then(() => (isPrinted = true))
    await printer.store.accept([newEvent()], limits)
    expect(isPrinted).toBe(false)
    await printed
    expect((await printer.page(run_id!)).total_bytes).toBe(160 * 65_536)
  })
}
