import { expect, test } from 'vitest'
import { generateApiKey } from '../api-keys/api-key.ts'
import { createTestApi } from '../testing/test-api.ts'
import { createServiceKeyVerifier } from './service-key-verifier.ts'

test('the configured key is known, and no other', async () => {
  const verifier = createServiceKeyVerifier({ proxy: 'a key for the proxy' })
  expect(verifier.recognizes('a key for the proxy')).toBe(true)
  expect(verifier.recognizes('a key for the prox')).toBe(false)
  expect(await verifier.verify('a key for the proxy', 'local')).toMatchObject({ kind: 'serviceKey', service: 'proxy' })
  expect(createServiceKeyVerifier({ proxy: undefined }).recognizes('undefined')).toBe(false)
})

test('a service key, whatever its form, opens nothing that is a user’s', async () => {
  for (const proxyApiKey of [generateApiKey(), 'proxy-key-of-another-form']) {
    await using api = await createTestApi({ secrets: { proxyApiKey } })
    const headers = { authorization: `Bearer ${proxyApiKey}` }
    for (const url of ['/api/users/me', '/api/users', '/api/sandbox', '/api/api-keys/current']) {
      expect((await api.app.inject({ url, headers })).statusCode).toBe(403)
    }
  }
})
