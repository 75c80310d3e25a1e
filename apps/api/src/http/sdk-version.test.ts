import { expect, test } from 'vitest'
import { isSdkAtLeast } from './sdk-version.ts'

test.each([
  ['0.180.0', true],
  ['0.218.0', true],
  ['1.0.0', true],
  ['v0.181.2-rc.1', true],
  ['0.179.9', false],
  ['0.23.1', false],
  ['0.9.0', false],
  ['', false],
  ['newest', false],
  ['0.180', false],
])('%j is at least 0.180.0: %s', (version, isSo) => {
  expect(isSdkAtLeast({ headers: { 'x-daytona-sdk-version': version } }, '0.180.0')).toBe(isSo)
})

test('who says nothing is no SDK', () => {
  expect(isSdkAtLeast({ headers: {} }, '0.0.0')).toBe(false)
})
