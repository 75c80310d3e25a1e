import { randomBytes, randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createSealer } from '../../secrets/sealer.ts'
import { parseSealingKeys } from '../../secrets/sealing-key.ts'
import { createSessionCredentials, SESSION_MS } from './session-credentials.ts'

const key = randomBytes(32).toString('hex')
let now = Date.parse('2026-11-27T12:00:00Z')

function mintWith(...keys: string[]) {
  return createSessionCredentials({ sealer: createSealer(parseSealingKeys(keys.join(','))), now: () => now })
}

describe('session credentials', () => {
  it('are opened by every process with the key, for an hour', () => {
    const organizationId = randomUUID()
    const { accessKey, secret, sessionToken } = mintWith(key).issue(organizationId)
    now += SESSION_MS - 1
    expect(mintWith(key).open(accessKey, sessionToken)).toEqual({ organizationId, secret })
    now += 1
    const expired = () => mintWith(key).open(accessKey, sessionToken)
    expect(expired).toThrow(expect.objectContaining({ code: 'ExpiredToken' }))
  })

  it('are not opened without the key', () => {
    const { accessKey, sessionToken } = mintWith(key).issue(randomUUID())
    const other = mintWith(randomBytes(32).toString('hex'))
    expect(() => other.open(accessKey, sessionToken)).toThrow(expect.objectContaining({ code: 'InvalidToken' }))
  })

  it('hide their secret in the token', () => {
    const { secret, sessionToken } = mintWith(key).issue(randomUUID())
    expect(Buffer.from(sessionToken, 'base64url').includes(secret)).toBe(false)
  })
})
