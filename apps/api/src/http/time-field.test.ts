import { afterAll, beforeAll, expect, it } from 'vitest'
import type { TestApi, TestPrincipal } from '../testing/test-api.ts'
import { createTestApi } from '../testing/test-api.ts'

let api: TestApi
let owner: TestPrincipal
let team: string

beforeAll(async () => {
  api = await createTestApi()
  owner = await api.createPrincipal({ systemRole: 'admin' })
  team = (await call('POST', '/organizations', { name: 'Team', defaultRegionId: 'us' })).json().id
})
afterAll(() => api[Symbol.asyncDispose]())

it.each([
  ['in the year 0', '0000-12-31T23:59:59Z'],
  ['that its offset moves to the year 0', '0001-01-01T00:00:00+23:00'],
  ['that its offset moves to the year 10000', '9999-12-31T23:59:59-23:00'],
])('a time %s is refused wherever it is given', async (_what, time) => {
  const text = encodeURIComponent(time)
  const answers = await Promise.all([
    call('GET', `/audit/organizations/${owner.organizationId}?from=${text}`),
    call('GET', `/audit/organizations/${owner.organizationId}?to=${text}`),
    call('GET', `/sandbox?createdAtAfter=${text}`),
    call('GET', `/sandbox?lastEventBefore=${text}`),
    call('POST', '/api-keys', { name: 'k', permissions: ['write:sandboxes'], expiresAt: time }),
    call('POST', `/organizations/${team}/invitations`, {
      ...{ email: 'e@example.org', role: 'member', assignedRoleIds: [], expiresAt: time },
    }),
    call('POST', `/organizations/${team}/suspend`, { reason: 'x', until: time }),
  ])
  expect(answers.map(({ statusCode }) => statusCode)).toEqual([400, 400, 400, 400, 400, 400, 400])
})

function call(method: 'GET' | 'POST', path: string, payload?: object) {
  const headers = { ...owner.headers, 'x-daytona-sdk-version': '0.218.0' }
  return api.app.inject({ method, url: `/api${path}`, headers, ...(payload ? { payload } : {}) })
}
