// Chunks of output as lines: the same lines whatever the chunks, the last state of those that are written over.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LineAssembler, type Piece } from '../../src/delivery/line-assembly.ts'

const most = 64

function pieces(text: string | Buffer, lengths: readonly number[], flushes = false): Piece[] {
  const lines = new LineAssembler(most)
  const bytes = Buffer.from(text)
  const found: Piece[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length]!
    found.push(...lines.push(bytes.subarray(at, at + length)))
    if (flushes) found.push(...lines.flush())
    at += length
  }
  return [...found, ...lines.end()]
}

function textOf(found: readonly Piece[]): string {
  return Buffer.concat(found.map(piece => piece.bytes)).toString('utf8')
}

const lengths = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 4 })

describe('output as lines', () => {
  test('loses nothing where no line is written over, and cuts no character and no short line', () => {
    const texts = fc.array(
      fc.oneof(
        fc.string({ unit: fc.constantFrom('a', 'é', '日', '\u{1f600}', ' '), maxLength: 90 }),
        fc.constant('\n'),
      ),
      {
        maxLength: 12,
      },
    )
    fc.assert(
      fc.property(texts, lengths, fc.boolean(), (parts, chunks, flushes) => {
        const text = parts.join('')
        const found = pieces(text, chunks, flushes)
        expect(textOf(found)).toBe(text)
        for (const { bytes, split } of found) {
          expect(bytes.length).toBeLessThanOrEqual(most)
          expect(bytes.length).toBeGreaterThan(0)
          expect(split).toBe(bytes.at(-1) !== 0x0a)
          expect(bytes.toString('utf8')).not.toContain('\ufffd')
        }
        const cut = found.filter(piece => piece.split)
        if (
          !flushes &&
          text.endsWith('\n') &&
          !text.split('\n').some(line => Buffer.byteLength(line) >= most)
        )
          expect(cut).toEqual([])
      }),
    )
  })

  test('of a line that is written over the last state is left, whatever the chunks', () => {
    fc.assert(
      fc.property(lengths, chunks => {
        expect(textOf(pieces('start\n10 %\r50 %\r\r100 %\r\nwindows\r\nend\n', chunks))).toBe(
          'start\n100 %\nwindows\nend\n',
        )
      }),
    )
  })

  test('what was handed out of a line before it was written over is replaced', () => {
    const lines = new LineAssembler(most)
    const push = (text: string): string => textOf(lines.push(Buffer.from(text)))
    const flush = (): string => textOf(lines.flush())
    expect([push('10 %'), flush(), push('\r50 %'), flush(), push('\r100 %\n'), textOf(lines.end())]).toEqual([
      '',
      '10 %',
      '',
      '',
      '\r100 %\n',
      '',
    ])
    expect([push('next\n')]).toEqual(['next\n'])
    expect([push('1 %'), flush(), push('\r2 %'), textOf(lines.end())]).toEqual(['', '1 %', '', '\r2 %'])
  })

  test('bytes that are no text stay as they are', () => {
    const bytes = Buffer.from([0xff, 0x0d, 0xfe, 0x0a, 0xff, 0x0d, 0xff])
    for (const chunks of [[7], [4, 3], [2, 5]])
      expect(Buffer.concat(pieces(bytes, chunks).map(piece => piece.bytes)).equals(bytes)).toBe(true)
  })

  test('lines that are text are apart from those that are not', () => {
    const found = pieces(
      Buffer.concat([Buffer.from('a\nb\n'), Buffer.from([0xff, 0x0a, 0xfe, 0x0a]), Buffer.from('c\nd\n')]),
      [100],
    )
    expect(found.map(({ bytes, split }) => [bytes.toString('latin1'), split])).toEqual([
      ['a\nb\n', false],
      ['\u00ff\n\u00fe\n', false],
      ['c\nd\n', false],
    ])
  })

  test('a bar that is written over for ever takes no memory', () => {
    const lines = new LineAssembler(most)
    for (let count = 0; count < 1000; count++) expect(lines.push(Buffer.from(`\rstep ${count}`))).toEqual([])
    expect(textOf(lines.end())).toBe('step 999')
  })
})
