import { randomUUID } from 'node:crypto'
import { afterEach, expect, it, vi } from 'vitest'
import { accessOf } from '../sandboxes/sandbox-access.ts'
import { createSandboxChanges } from '../sandboxes/sandbox-changes.ts'
import type { SandboxRow } from '../sandboxes/sandbox-table.ts'
import { until } from '../testing/until.ts'
import { createToolboxService } from './toolbox-service.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

const id = randomUUID()
const started = {
  ...{ id, organizationId: 'o', state: 'started', desiredState: 'started', recoverableTo: null, lost: false },
  ...{ authToken: 'token', signingKey: 'key', public: false, claimPending: false },
} as SandboxRow
const creating: SandboxRow = { ...started, state: 'creating' }

/** A service that knows of sandboxes only what is looked up and what `changes` brings. */
function createService() {
  const changes = createSandboxChanges({ subscribe: () => undefined })
  let looks = 0
  const service = createToolboxService({
    sandboxes: {
      access: async () => {
        looks += 1
        return accessOf(started)
      },
      idOfName: async () => undefined,
    },
    changes,
    tunnels: { get: () => undefined },
    activity: { record: () => undefined },
    claims: { finish: async () => undefined },
    now: Date.now,
  })
  return { service, changes, looks: () => looks }
}

it('a row that a change brings saves the next call its look', async () => {
  const { service, changes, looks } = createService()
  using _ = service
  changes.emit(creating, creating)
  expect(await service.access(id)).toMatchObject({ running: false })
  expect(looks()).toBe(0)
})

it('a row that comes after the news of a later change counts for a moment only', async () => {
  const { service, changes } = createService()
  using _ = service
  changes.emit(started)
  changes.emit(creating, creating)
  const later = performance.now() + 2_000
  vi.spyOn(performance, 'now').mockImplementation(() => later)
  await until('it is looked up', async () => (await service.access(id))?.running === true)
})
