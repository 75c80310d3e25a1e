import { ServerConfiguration } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { expect, test } from 'vitest'
import { createTestApi } from '../testing/test-api.ts'

test('anybody may ask what the server is', async () => {
  await using api = await createTestApi({ config: { publicUrl: 'https://atoll.example.org:8443' } })
  const answer = await api.app.inject('/api/config')
  expect(answer.statusCode).toBe(200)
  expect(Value.Check(ServerConfiguration, answer.json())).toBe(true)
  expect(answer.json()).toMatchObject({
    proxyTemplateUrl: 'https://{{PORT}}-{{sandboxId}}.localhost:8443',
    proxyToolboxUrl: 'https://atoll.example.org:8443/api/toolbox-proxy',
    defaultSnapshot: 'host',
    dashboardUrl: 'https://atoll.example.org:8443/api/docs',
    maxAutoArchiveInterval: 43_200,
    maintananceMode: false,
  })
})
