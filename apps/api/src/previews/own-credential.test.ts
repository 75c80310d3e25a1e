import { describe, expect, it } from 'vitest'
import { createIsOwnCredential } from './own-credential.ts'

const isOwn = createIsOwnCredential([{ issuer: 'https://atoll.example.org/api/auth', audience: 'atoll' }])

function token(claims: object): string {
  return `Bearer e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`
}

describe('a credential of Atoll', () => {
  it.each([
    `Bearer dtn_${'a'.repeat(64)}`,
    `bearer  dtn_${'0'.repeat(64)} `,
    token({ iss: 'https://atoll.example.org/api/auth', aud: 'atoll' }),
    token({ iss: 'https://atoll.example.org/api/auth/', aud: ['x', 'atoll'] }),
  ])('is %s', (authorization) => expect(isOwn(authorization)).toBe(true))

  it.each([
    'Basic dXNlcjpwYXNz',
    'Bearer own-token-of-the-program',
    'Bearer a.b.c',
    'Bearer .bnVsbA.',
    token({ iss: 'https://atoll.example.org/api/auth', aud: 'other' }),
    token({ iss: 'https://elsewhere.example.org', aud: 'atoll' }),
    token({}),
  ])('is not %s', (authorization) => expect(isOwn(authorization)).toBe(false))
})
