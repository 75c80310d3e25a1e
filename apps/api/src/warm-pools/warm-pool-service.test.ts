import { expect, it } from 'vitest'
import type { Principal } from '../auth/principal.ts'
import { createDatabase } from '../database/database.ts'
import { createQuotas } from '../organizations/quotas.ts'
import { snapshots } from '../snapshots/snapshot-table.ts'
import { createTestApi } from '../testing/test-api.ts'
import { createWarmPoolService } from './warm-pool-service.ts'
import { createWarmPoolStore } from './warm-pool-store.ts'

const TARGETS = ['us', 'eu']

it('makes pools of an organization on as many connections as there are calls at once', async () => {
  await using api = await createTestApi()
  const { userId, organizationId } = await api.createPrincipal()
  const permissions = new Set<never>()
  const caller: Principal = {
    ...{ kind: 'apiKey', userId, organizationId, systemRole: 'user', role: 'owner', permissions },
  }
  const [snapshot] = await api.database.db.select().from(snapshots)
  const { address } = api.database
  const database = createDatabase({ address, poolSize: TARGETS.length })
  try {
    const service = createWarmPoolService({
      ...{ database, store: createWarmPoolStore(database), quotas: createQuotas({ now: Date.now }), now: Date.now },
      origins: { choose: async () => snapshot },
      regions: { resolve: async (target) => target },
      onChange: () => undefined,
    })
    const body = { snapshot: 'host', pool: 1 }
    const made = await Promise.all(TARGETS.map((target) => service.create(caller, { ...body, target })))
    expect(made.map(({ target }) => target)).toEqual(TARGETS)
  } finally {
    await database.close()
  }
})
