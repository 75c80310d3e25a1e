import { expect, test } from 'vitest'
import { trimIssuer } from './issuer-name.ts'

/** So many slashes that quadratic code never ends: a regular expression took three minutes for 400,000. */
const MANY = 4_000_000

test.each([
  ['https://id.example.org', 'https://id.example.org'],
  ['https://id.example.org//', 'https://id.example.org'],
  ['//', ''],
  ['', ''],
])('%j is %j', (issuer, trimmed) => expect(trimIssuer(issuer)).toBe(trimmed))

test('slashes anywhere else stay, and cost no more than they are', () => {
  const issuer = `a${'/'.repeat(MANY)}b`
  expect(trimIssuer(issuer)).toBe(issuer)
})
