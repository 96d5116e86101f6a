// The configuration: flags over environment over file over defaults, and errors that name the place.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../src/config.ts'
import type { ExitError } from '../src/errors.ts'

function file(content: unknown): string {
  const directory = mkdtempSync(join(tmpdir(), 'sb-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'config.json')
  writeFileSync(path, JSON.stringify(content))
  return path
}

function refusal(env: Record<string, string>, flags: Record<string, unknown> = {}): string {
  try {
    readConfig({ HOME: '/', ...env }, flags)
  } catch (error) {
    expect((error as ExitError).exitCode).toBe(78)
    return (error as ExitError).message
  }
  return 'accepted'
}

describe('a variable', () => {
  test.each([
    ['SIGNALBOX_RETENTION_MS', '3600000', { retention_ms: 3_600_000 }],
    ['SIGNALBOX_RETENTION_MS', '24h', { retention_ms: 86_400_000 }],
    ['SIGNALBOX_BEHIND_PROXY', 'true', { behind_proxy: true }],
    ['SIGNALBOX_BEHIND_PROXY', '0', { behind_proxy: false }],
    ['SIGNALBOX_LOG_LEVEL', 'debug', { log_level: 'debug' }],
    ['SIGNALBOX_MAX_ACTIVE', '', { max_active: 16 }],
  ])('%s=%s', (name, value, expected) => {
    expect(readConfig({ HOME: '/', [name]: value }, {})).toMatchObject(expected)
  })

  test.each([
    [
      'SIGNALBOX_RETENTION_MS',
      'abc',
      'configuration (SIGNALBOX_RETENTION_MS): retention_ms must be an integer; found "abc"',
    ],
    [
      'SIGNALBOX_RETENTION_MS',
      '-5',
      'configuration (SIGNALBOX_RETENTION_MS): retention_ms must be >= 1000; found -5',
    ],
    [
      'SIGNALBOX_MAX_ACTIVE',
      '3s',
      'configuration (SIGNALBOX_MAX_ACTIVE): max_active must be an integer; found "3s"',
    ],
    [
      'SIGNALBOX_INTAKE_ADDRESS',
      'http://127.0.0.1:18799',
      'configuration (SIGNALBOX_INTAKE_ADDRESS): intake_address must be host:port or the path of a socket; found "http://127.0.0.1:18799"; did you mean "127.0.0.1:18799"?',
    ],
    [
      'SIGNALBOX_PAUSED',
      'yes',
      'configuration (SIGNALBOX_PAUSED): paused must be true or false; found "yes"',
    ],
    [
      'SIGNALBOX_LOG_LEVEL',
      'loud',
      'configuration (SIGNALBOX_LOG_LEVEL): log_level must be one of "trace", "debug", "info", "warn", "error", "silent"; found "loud"',
    ],
    [
      'SIGNALBOX_RETENTON_MS',
      '1h',
      'the environment: SIGNALBOX_RETENTON_MS must be a known variable; found "SIGNALBOX_RETENTON_MS"; did you mean SIGNALBOX_RETENTION_MS?',
    ],
  ])('%s=%s stops the start', (name, value, message) => {
    expect(refusal({ [name]: value })).toBe(message)
  })

  test('of other programs is left alone', () => {
    expect(refusal({ SIGNALBOX_RUN_ID: 'x', SIGNALBOX_SEEDS: '3', SIGNALBOX_ADMIN_TOKEN: 'x' })).toBe(
      'accepted',
    )
  })
})

describe('the file', () => {
  test('takes durations, and gives way to variables and flags', () => {
    const config = file({
      retention_ms: '7d',
      dedupe_ms: '1h',
      retry_schedule_ms: ['1s', 5000],
      max_active: 3,
    })
    const env = { HOME: '/', SIGNALBOX_CONFIG: config, SIGNALBOX_DEDUPE_MS: '2h' }
    expect(readConfig(env, { max_active: 5 })).toMatchObject({
      retention_ms: 604_800_000,
      dedupe_ms: 7_200_000,
      retry_schedule_ms: [1000, 5000],
      max_active: 5,
    })
  })

  test('is named in its errors, with the nearest known key', () => {
    const config = file({ retenton_ms: 5 })
    expect(refusal({ SIGNALBOX_CONFIG: config })).toBe(
      `the configuration file ${config}: retenton_ms must be a known key; found "retenton_ms"; did you mean "retention_ms"?`,
    )
  })

  test('is not blamed for a flag', () => {
    const config = file({ max_active: 3 })
    expect(refusal({ SIGNALBOX_CONFIG: config }, { max_active: 0 })).toBe(
      'configuration: max_active must be >= 1; found 0',
    )
  })
})
