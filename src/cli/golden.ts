// signalbox test of cases: triggers in files held against sample events, without a router.
import { writeFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import type { TriggerTestResult } from '../client/client.ts'
import { fileError } from '../plain-file.ts'
import { canonicalJson, isRaw } from '../exact-json.ts'
import { readCases, type Case, type Expectation } from './cases.ts'
import { readDefinitions } from './definition-files.ts'
import { printConditions } from './explain.ts'
import { junit, type CaseResult } from './junit.ts'
import { paint, plain, shortened, type Output } from './output.ts'
import { NoError, UsageError, type Session, type Trial } from './session.ts'

const mostListed = 20

/** Where two values differ, a line each. */
function differences(expected: unknown, found: unknown, path: string): string[] {
  if (isDeepStrictEqual(expected, found)) return []
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !isRaw(value)
  if (isObject(expected) && isObject(found) && Array.isArray(expected) === Array.isArray(found)) {
    const names = [...new Set([...Object.keys(expected), ...Object.keys(found)])]
    return names.flatMap(name => differences(expected[name], found[name], `${path}.${name}`))
  }
  const shown = (value: unknown): string =>
    value === undefined ? 'nothing' : shortened(JSON.stringify(value), 200)
  return [`${path}: expected ${shown(expected)}, found ${shown(found)}`]
}

/** Why one expectation does not hold, as lines; none: it holds. */
function failing(
  { trigger_id, matched, inputs, place }: Expectation,
  tried: TriggerTestResult,
  explain: (tried: TriggerTestResult) => string[],
): string[] {
  if (tried.matched !== matched)
    return [
      `${trigger_id} ${tried.matched ? 'matched' : 'did not match'}, and should${matched ? '' : ' not'} (${place}): ${tried.reason}`,
      ...explain(tried),
    ]
  if (inputs === undefined && tried.inputs_error === undefined) return []
  if (tried.inputs_error !== undefined)
    return [`${trigger_id}: the inputs cannot be made (${place}): ${tried.inputs_error}`]
  // 10 and 10.00 are the same number.
  const wrong = differences(canonicalJson(inputs), canonicalJson(tried.inputs ?? {}), 'inputs')
  return wrong.length === 0
    ? []
    : [`${trigger_id} matched with other inputs (${place})`, ...wrong.map(line => `  ${line}`)]
}

async function judged(
  { expect, event }: Case,
  trial: Trial,
  explain: (tried: TriggerTestResult) => string[],
): Promise<string[]> {
  const lines: string[] = []
  for (const expectation of expect)
    lines.push(...failing(expectation, await trial.attempt(expectation.trigger_id, event), explain))
  return lines
}

/** The conditions of a trial as lines. */
function explained({ terminal }: Output): (tried: TriggerTestResult) => string[] {
  return ({ conditions }) => {
    const lines: string[] = []
    printConditions(
      { json: false, terminal, line: text => lines.push(text), bytes: () => undefined },
      conditions,
      '  ',
    )
    return lines
  }
}

function print({ output }: Session, { name, place }: Case, failure: readonly string[]): void {
  if (output.json)
    return output.line(
      JSON.stringify({
        name,
        place,
        passed: failure.length === 0,
        ...(failure.length === 0 ? {} : { failure }),
      }),
    )
  if (failure.length === 0) return output.line(`${paint(output, 'green', '✓')} ${plain(name)}`)
  output.line(`${paint(output, 'red', '✗')} ${paint(output, 'bold', plain(name))}  ${plain(place)}`)
  for (const line of failure) output.line(`    ${line}`)
  return undefined
}

function assertNamed(cases: readonly Case[], ids: readonly string[]): void {
  for (const { trigger_id, place } of cases.flatMap(each => each.expect)) {
    if (ids.includes(trigger_id)) continue
    const there =
      ids.length === 0
        ? 'none'
        : `${ids.slice(0, mostListed).join(', ')}${ids.length > mostListed ? ', ...' : ''}`
    throw new UsageError(`${place} there is no trigger ${trigger_id} in these files; there is ${there}`)
  }
}

function writeReport(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (error) {
    throw new UsageError(fileError(error, path, 'written').message)
  }
}

/** Runs every case of a directory or a file. Throws NoError where one fails, UsageError where something cannot be read. */
export async function runCases(session: Session, path: string, junitFile: string | undefined): Promise<void> {
  const trial = await session.environment.trial()
  try {
    const { definitions, where } = readDefinitions([path])
    const complaint = trial.load(definitions)
    if (complaint !== undefined)
      throw new UsageError(`${where(complaint.path) ?? path} ${complaint.path} ${complaint.message}`)
    const cases = readCases(path, event => trial.refusal(event))
    if (cases.length === 0)
      throw new UsageError(
        `${path} has no test cases; test cases are in files such as deploy.test.yaml beside the triggers`,
      )
    assertNamed(
      cases,
      definitions.triggers.map(({ id }) => id),
    )
    const results: CaseResult[] = []
    for (const each of cases) {
      const begun = performance.now()
      const failure = await judged(each, trial, explained(session.output))
      print(session, each, failure)
      results.push({
        name: each.name,
        file: each.file,
        ms: performance.now() - begun,
        ...(failure.length === 0 ? {} : { failure: failure.join('\n') }),
      })
    }
    if (junitFile !== undefined) writeReport(junitFile, junit(results))
    const failed = results.filter(({ failure }) => failure !== undefined).length
    if (!session.output.json) session.output.line(`${cases.length - failed} passed, ${failed} failed`)
    if (failed > 0) throw new NoError('')
  } finally {
    await trial.close()
  }
}
