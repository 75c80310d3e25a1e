import { expect, test } from 'vitest'
import { trimIssuer } from './issuer-name.ts'

/** So many that whatever takes the square of it does not come to its end: 400,000 took an expression three minutes. */
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
