// JSON texts whose numbers JSON.parse would change, and what is written of them where every number keeps its digits.
import fc from 'fast-check'
import { connect } from 'node:net'

const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown }

/** The value of a JSON text with numbers that keep their digits, by way of the sources that a reviver is given. */
export function exactly(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && context?.source !== undefined && context.source !== String(value)
      ? rawJSON(context.source)
      : value,
  )
}

/** A JSON text as it is written again: the last of doubled keys, no white space, numbers as they stood. */
export function written(text: string): string {
  return JSON.stringify(exactly(text))
}

const digits = (least: number, most: number): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.integer({ min: 1, max: 9 }),
      fc.array(fc.integer({ min: 0, max: 9 }), { minLength: least - 1, maxLength: most - 1 }),
    )
    .map(([first, rest]) => [first, ...rest].join(''))

/** Numbers that JSON.parse changes: too many digits, too large, too small, or spelled unlike JavaScript does. */
export const oddNumbers = fc.oneof(
  fc.constantFrom(
    '813683310949021977',
    '813683310949021978',
    '1e400',
    '-1e400',
    '1e-400',
    '10.00',
    '1.0',
    '-0',
    '0.0',
    '-0.00e-0',
    '1E5',
    '1e+5',
    '100e-2',
    '0e0',
  ),
  digits(17, 40),
  fc.tuple(digits(1, 20), digits(1, 20)).map(([whole, fraction]) => `${whole}.${fraction}0`),
  fc
    .tuple(digits(1, 18), fc.integer({ min: -400, max: 400 }))
    .map(([whole, exponent]) => `-${whole}E${exponent}`),
)

const spaces = fc.constantFrom('', '', ' ', '\n\t', '\r\n  ')
const keys = fc.oneof(
  fc.constantFrom('a', 'a', 'b', 'c.d', '1', '02', '', '__proto__', '\u00e9"\\', 'rawJSON'),
  fc.string(),
)

/** JSON texts with such numbers, doubled keys, white space, and texts that look like numbers. */
export const oddJson: fc.Arbitrary<string> = fc.tuple(spaces, trees(), spaces).map(parts => parts.join(''))

function trees(): fc.Arbitrary<string> {
  return fc.letrec<{ value: string; list: string; object: string }>(tie => ({
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      oddNumbers,
      fc.constantFrom('1', '0.1', '-12.5', '1e21'),
      fc
        .oneof(fc.string(), fc.constantFrom(' 10.00 ', '[1.0,', 'at 12:00:45.120Z', '\\", 1.0'))
        .map(text => JSON.stringify(text)),
      fc.constantFrom('null', 'true', 'false', '[]', '{}', '"\\u0031.0"'),
      tie('list'),
      tie('object'),
    ),
    list: fc
      .tuple(fc.array(tie('value'), { maxLength: 4 }), spaces)
      .map(([items, space]) => `[${space}${items.join(`${space},${space}`)}${space}]`),
    object: fc
      .tuple(fc.array(fc.tuple(keys, tie('value')), { maxLength: 4 }), spaces)
      .map(
        ([members, space]) =>
          `{${space}${members.map(([key, value]) => `${JSON.stringify(key)}${space}:${space}${value}`).join(`${space},`)}${space}}`,
      ),
  })).value
}

/** One JSON-RPC call as a line of text, answered with the text of its result. */
export function resultText(socket_path: string, method: string, params: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect(socket_path)
  let text = ''
  socket.on('error', reject)
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString()
    if (!text.endsWith('\n')) return
    socket.destroy()
    const { result, error } = exactly(text) as { result?: unknown; error?: unknown }
    if (error === undefined) resolve(JSON.stringify(result))
    else reject(new Error(JSON.stringify(error)))
  })
  socket.write(
    `{"jsonrpc":"2.0","id":1,"method":"${method}","params":${params.replaceAll(/[\r\n]/g, ' ')}}\n`,
  )
  return promise
}
