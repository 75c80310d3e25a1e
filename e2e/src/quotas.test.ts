import { beforeAll, expect, it } from 'vitest'
import { organizations23 } from './testing/api-clients.ts'
import { ownOrganization } from './testing/guest.ts'
import { sdk17, sdk23, sdk218 } from './testing/shared-system.ts'

const api = organizations23()
/** A body that changes no quota: null leaves a value unchanged. */
const KEEP = {
  ...{ totalCpuQuota: null, totalMemoryQuota: null, totalDiskQuota: null, maxCpuPerSandbox: null },
  ...{ maxMemoryPerSandbox: null, maxDiskPerSandbox: null, snapshotQuota: null, maxSnapshotSize: null },
  volumeQuota: null,
}
/** The value that lifts a bound. */
const UNBOUNDED = -1
const clients: [string, () => Promise<unknown>][] = [
  ['0.17.0', () => sdk17(apiKey).create()],
  ['0.23.1', () => sdk23(apiKey).create()],
  ['0.218.0', () => sdk218(apiKey).create()],
]

/** This file's own organization; other files use the administrator's. */
let organizationId: string
let apiKey: string

beforeAll(async () => {
  ;({ organizationId, apiKey } = await ownOrganization('Quentin'))
})

it('the administrator of a first start has no quota', async () => {
  const { data } = await api.listOrganizations()
  const own = data.find(({ personal }) => personal)?.id ?? ''
  expect((await api.getOrganizationUsageOverview(own)).data).toMatchObject({
    ...{ totalCpuQuota: UNBOUNDED, totalMemoryQuota: UNBOUNDED, totalDiskQuota: UNBOUNDED },
  })
})

it.each(clients)('SDK %s is told which quota is exceeded', async (_version, create) => {
  await api.updateOrganizationQuota(organizationId, { ...KEEP, totalCpuQuota: 0 })
  await expect(create()).rejects.toThrow('Quota of total CPU exceeded: 0 of 0 used, 1 more asked for')
})

it.each(clients)('SDK %s is told that the organization is suspended', async (_version, create) => {
  await api.suspendOrganization(organizationId, { reason: 'unpaid', until: new Date(Date.now() + 3_600_000) })
  await expect(create()).rejects.toThrow('Organization is suspended: unpaid')
})

it('what was lifted is lifted', async () => {
  await api.unsuspendOrganization(organizationId)
  await api.updateOrganizationQuota(organizationId, { ...KEEP, totalCpuQuota: UNBOUNDED })
  const sandbox = await sdk23(apiKey).create()
  expect((await api.getOrganizationUsageOverview(organizationId)).data).toMatchObject({ currentCpuUsage: 1 })
  await sandbox.delete()
})
