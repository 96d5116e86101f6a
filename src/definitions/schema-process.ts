// The process of schema-checks.ts: compiles schemas and checks payloads, one message at a time. What takes too long here is
// killed, and takes nothing with it.
import type { ValidateFunction } from 'ajv'
import { endWithParent } from '../orphan.ts'
import { compiled, firstRefusal } from './schema-compile.ts'
import type { CheckAnswer, CheckOrder } from './schema-checks.ts'

const maxKept = 100
const kept = new Map<string, ValidateFunction>()

function validatorOf(schema: string): ValidateFunction {
  const known = kept.get(schema)
  if (known !== undefined) return known
  const validate = compiled(JSON.parse(schema) as object)
  if (kept.size >= maxKept) kept.clear()
  kept.set(schema, validate)
  return validate
}

function answer({ schema, payload }: CheckOrder): CheckAnswer {
  try {
    const validate = validatorOf(schema)
    return payload === undefined || validate(JSON.parse(payload))
      ? { kind: 'fine' }
      : { kind: 'refused', refusal: firstRefusal(validate) }
  } catch (error) {
    // What compiles is code that nests as deep as the schema is wide.
    const reason =
      error instanceof RangeError
        ? 'it is too wide or nests too deep'
        : (error as Error).message.slice(0, 500)
    return { kind: 'unusable', reason }
  }
}

process.on('message', (order: CheckOrder) => void process.send!(answer(order)))
process.on('disconnect', () => process.exit(0))
// Signals from the terminal are the router's to answer.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
endWithParent()
process.send!('ready')
