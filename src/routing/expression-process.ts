// The process of expressions.ts: compiles, checks and evaluates JSONata, one message at a time.
import jsonata from 'jsonata'
import { readJson } from '../exact-json.ts'
import { endWithParent } from '../orphan.ts'
import type { ExpressionAnswer, ExpressionOrder } from './expressions.ts'

const maxDepth = 100
const maxResultBytes = 1024 * 1024
const maxCompiled = 1000
const compiled = new Map<string, jsonata.Expression>()

/** What an expression must not hold: a regular expression can take forever, $eval runs text that an event brings. */
function forbidden(node: unknown): string | undefined {
  if (typeof node !== 'object' || node === null) return undefined
  const { type, value } = node as { type?: unknown; value?: unknown }
  if (type === 'regex')
    return 'regular expressions are not allowed; use $contains, $substringBefore and $substringAfter with texts'
  if (type === 'variable' && value === 'eval') return '$eval is not allowed: it would run text from the event'
  for (const child of Object.values(node)) {
    const reason = forbidden(child)
    if (reason !== undefined) return reason
  }
  return undefined
}

function compile(source: string): jsonata.Expression {
  const known = compiled.get(source)
  if (known !== undefined) return known
  const expression = jsonata(source)
  const reason = forbidden(expression.ast())
  if (reason !== undefined) throw new Error(reason)
  let depth = 0
  // JSONata calls these around every step that it evaluates.
  expression.assign(Symbol.for('jsonata.__evaluate_entry') as unknown as string, () => {
    if (++depth > maxDepth) throw new Error(`it nests deeper than ${maxDepth}`)
  })
  expression.assign(Symbol.for('jsonata.__evaluate_exit') as unknown as string, () => {
    depth--
  })
  if (compiled.size >= maxCompiled) compiled.clear()
  compiled.set(source, expression)
  return expression
}

async function evaluated(source: string, scope: unknown): Promise<ExpressionAnswer> {
  try {
    const value: unknown = await compile(source).evaluate(scope)
    if (typeof value === 'function') return { ok: false, reason: 'it gives a function, not a value' }
    const text = JSON.stringify(value)
    if (text !== undefined && text.length > maxResultBytes)
      return { ok: false, reason: `it gives more than ${maxResultBytes} bytes` }
    return { ok: true, value: text === undefined ? undefined : JSON.parse(text) }
  } catch (error) {
    compiled.delete(source)
    return { ok: false, reason: (error as { message?: string }).message ?? String(error) }
  }
}

function checked(source: string): ExpressionAnswer {
  try {
    compile(source)
    return { ok: true, value: null }
  } catch (error) {
    return { ok: false, reason: (error as { message?: string }).message ?? String(error) }
  }
}

async function answers({ check, sources, scope }: ExpressionOrder): Promise<ExpressionAnswer[]> {
  if (check !== undefined) return [checked(check)]
  const all: ExpressionAnswer[] = []
  // JSONata computes with doubles: a number that none holds is the string of its digits, so that none is lost.
  const value = readJson(scope ?? 'null', digits => digits)
  for (const source of sources ?? []) all.push(await evaluated(source, value))
  return all
}

process.on('message', (order: ExpressionOrder) => {
  void answers(order).then(found => process.send!(found))
})
process.on('disconnect', () => process.exit(0))
// Signals from the terminal are the router's to answer.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
endWithParent()
process.send!('ready')
