import { expect, test } from 'vitest'
import { isOlder, usualReserve } from '../src/machine.ts'

test.each([
  ['24.18.0', '24.18.1', true],
  ['24.9.9', '24.18.1', true],
  ['20.19.5', '24.18.1', true],
  ['24.18', '24.18.1', true],
  ['24.18.1', '24.18.1', false],
  ['24.18.2', '24.18.1', false],
  ['25.0.0', '24.18.1', false],
  ['3.100.0', '3.51.3', false],
])('%s is older than %s: %s', (found, than, expected) => {
  expect(isOlder(found, than)).toBe(expected)
})

test.each([
  [1024 ** 3, 64 * 1024 ** 2],
  [10 * 1024 ** 3, 512 * 1024 ** 2],
  [1024 ** 4, 1024 ** 3],
])('of a disk of %s bytes %s stay free', (disk, reserve) => {
  expect(usualReserve(disk)).toBe(reserve)
})
