import { randomUUID } from 'node:crypto'
import {
  CreateOrganizationInvitationRoleEnum as InvitedAs,
  CreateOrganizationRolePermissionsEnum as Permission,
} from 'daytona-api-client-0-23'
import { UpdateOrganizationMemberAccessRoleEnum as Access } from 'daytona-api-client-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { audit218, organizations23, organizations218, refusal } from './testing/api-clients.ts'
import { eventually } from './testing/eventually.ts'
import { call } from './testing/shared-system.ts'

const DEVELOPER = '00000000-0000-0000-0000-000000000001'
const VOLUMES_ADMIN = '00000000-0000-0000-0000-000000000006'

let organizationId: string
let userId: string

beforeAll(async () => {
  const { data } = await organizations23().createOrganization({ name: `Reef ${randomUUID()}` })
  organizationId = data.id
  userId = data.createdBy
})
afterAll(async () => {
  await organizations23().deleteOrganization(organizationId)
})

describe('an organization through api-client 0.23.1', () => {
  const api = organizations23()

  it('is listed and read, with its quotas', async () => {
    const listed = (await api.listOrganizations()).data.map(({ id }) => id)
    expect(listed).toContain(organizationId)
    const { data } = await api.getOrganization(organizationId)
    expect(data).toMatchObject({ id: organizationId, personal: false, suspended: false, suspendedAt: null })
    expect((await api.getOrganizationUsageOverview(organizationId)).data).toMatchObject({
      ...{ totalCpuQuota: 10, totalGpuQuota: 0, totalMemoryQuota: 10, totalDiskQuota: 30 },
      ...{ currentCpuUsage: 0, currentMemoryUsage: 0, currentDiskUsage: 0 },
    })
  })

  it('has quotas that an administrator changes', async () => {
    const keep = {
      ...{ totalCpuQuota: null, totalMemoryQuota: null, totalDiskQuota: null, maxCpuPerSandbox: null },
      ...{ maxMemoryPerSandbox: null, maxDiskPerSandbox: null, snapshotQuota: null, maxSnapshotSize: null },
    }
    await api.updateOrganizationQuota(organizationId, { ...keep, totalCpuQuota: 12, volumeQuota: 5 })
    expect((await api.getOrganizationUsageOverview(organizationId)).data).toMatchObject({
      ...{ totalCpuQuota: 12, totalMemoryQuota: 10, totalVolumeQuota: 5 },
    })
  })

  it('has custom roles', async () => {
    const body = { name: 'Reader', description: 'Reads volumes', permissions: [Permission.READ_VOLUMES] }
    const { data: role } = await api.createOrganizationRole(organizationId, body)
    expect(role).toMatchObject({ ...body, isGlobal: false })
    const changed = { ...body, permissions: [Permission.READ_VOLUMES, Permission.WRITE_VOLUMES] }
    expect((await api.updateOrganizationRole(organizationId, role.id, changed)).data).toMatchObject(changed)
    expect((await api.listOrganizationRoles(organizationId)).data.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['Developer', 'Super Admin', 'Reader']),
    )
    await api.deleteOrganizationRole(organizationId, role.id)
    expect(await refusal(api.deleteOrganizationRole(organizationId, role.id))).toMatchObject({ status: 404 })
    expect(await refusal(api.deleteOrganizationRole(organizationId, DEVELOPER))).toMatchObject({ status: 403 })
  })

  it('keeps an owner, who is given roles', async () => {
    expect((await api.listOrganizationMembers(organizationId)).data).toMatchObject([{ userId, role: 'owner' }])
    const { data } = await api.updateAssignedOrganizationRoles(organizationId, userId, { roleIds: [VOLUMES_ADMIN] })
    expect(data.assignedRoles.map(({ id }) => id)).toEqual([VOLUMES_ADMIN])
    const demotion = api.updateRoleForOrganizationMember(organizationId, userId, { role: 'member' })
    expect(await refusal(demotion)).toMatchObject({ status: 403 })
    expect(await refusal(api.deleteOrganizationMember(organizationId, userId))).toMatchObject({ status: 403 })
    expect(await refusal(api.leaveOrganization(organizationId))).toMatchObject({ status: 403 })
  })

  it('invites people', async () => {
    const email = `${randomUUID()}@example.org`
    const body = { email, role: InvitedAs.MEMBER, assignedRoleIds: [DEVELOPER] }
    const { data } = await api.createOrganizationInvitation(organizationId, body)
    expect(data).toMatchObject({ email, status: 'pending', assignedRoles: [{ id: DEVELOPER }] })
    const twice = api.createOrganizationInvitation(organizationId, body)
    expect(await refusal(twice)).toMatchObject({ status: 409 })
    const change = { role: InvitedAs.OWNER, assignedRoleIds: [] }
    const { data: changed } = await api.updateOrganizationInvitation(organizationId, data.id, change)
    expect(changed).toMatchObject({ id: data.id, role: 'owner', assignedRoles: [] })
    expect((await api.listOrganizationInvitations(organizationId)).data.map(({ id }) => id)).toEqual([data.id])
    await api.cancelOrganizationInvitation(organizationId, data.id)
    expect((await api.listOrganizationInvitations(organizationId)).data).toEqual([])
  })

  it('counts what its caller is invited to, and answers nothing for others', async () => {
    expect((await api.getOrganizationInvitationsCountForAuthenticatedUser()).data).toBe(0)
    expect((await api.listOrganizationInvitationsForAuthenticatedUser()).data).toEqual([])
    for (const answer of [
      () => api.acceptOrganizationInvitation(randomUUID()),
      () => api.declineOrganizationInvitation(randomUUID()),
    ]) {
      expect(await refusal(answer())).toMatchObject({ status: 404 })
    }
  })

  it('is suspended and unsuspended', async () => {
    const until = new Date(Date.now() + 3_600_000)
    await api.suspendOrganization(organizationId, { reason: 'unpaid', until })
    const { data } = await api.getOrganization(organizationId)
    expect(data).toMatchObject({ suspended: true, suspensionReason: 'unpaid', suspendedUntil: until.toISOString() })
    await api.unsuspendOrganization(organizationId)
    expect((await api.getOrganization(organizationId)).data).toMatchObject({ suspended: false, suspensionReason: null })
  })
})

describe('an organization through api-client 0.218.0', () => {
  const api = organizations218()

  it('is read with what it uses in each region', async () => {
    const { data } = await api.getOrganization(organizationId)
    expect(data).toMatchObject({ maxCpuPerSandbox: 4, suspensionCleanupGracePeriodHours: 24 })
    expect((await api.getOrganizationUsageOverview(organizationId)).data).toMatchObject({
      regionUsage: [{ regionId: 'us', totalCpuQuota: 12, currentCpuUsage: 0 }],
      totalSnapshotQuota: 100,
    })
  })

  it('has a default region that there is', async () => {
    await api.setOrganizationDefaultRegion(organizationId, { defaultRegionId: 'us' })
    expect((await api.getOrganization(organizationId)).data.defaultRegionId).toBe('us')
    const unknown = api.setOrganizationDefaultRegion(organizationId, { defaultRegionId: 'mars' })
    expect(await refusal(unknown)).toMatchObject({ status: 400 })
  })

  it('sets what a member is and may in one call', async () => {
    const access = { role: Access.OWNER, assignedRoleIds: [DEVELOPER] }
    const { data } = await api.updateAccessForOrganizationMember(organizationId, userId, access)
    expect(data).toMatchObject({ role: 'owner', assignedRoles: [{ id: DEVELOPER }] })
  })

  it('is made and deleted, and is gone at once', async () => {
    const { data } = await api.createOrganization({ name: 'Short-lived', defaultRegionId: 'us' })
    await api.deleteOrganization(data.id)
    expect(await refusal(api.getOrganization(data.id))).toEqual({
      ...{ status: 404, message: `Organization with ID ${data.id} not found` },
    })
  })

  it('tells in its audit log what was done', async () => {
    const audit = audit218()
    const suspensions = async () => {
      const { data } = await audit.getOrganizationAuditLogs(organizationId, 1, 200)
      return data.items.filter(({ action }) => action === 'suspend')
    }
    await eventually('the suspension is noted', async () => (await suspensions()).length === 1)
    expect(await suspensions()).toMatchObject([
      { actorId: userId, targetType: 'organization', targetId: organizationId, statusCode: 204 },
    ])
    const { data } = await audit.getAuditScenarios()
    expect(data.targets.map(({ targetType }) => targetType)).toContain('organization_invitation')
  })
})

it('quotas are changed by the names of the first generation as well', async () => {
  const body = {
    ...{ totalCpuQuota: 13, totalMemoryQuota: 14, totalDiskQuota: 15, maxCpuPerWorkspace: 1, maxMemoryPerWorkspace: 2 },
    ...{ maxDiskPerWorkspace: 3, maxConcurrentWorkspaces: 4, workspaceQuota: 5, imageQuota: 6, maxImageSize: 7 },
    totalImageSize: 8,
  }
  const path = `/organizations/${organizationId}`
  expect((await call(`${path}/quota`, { method: 'PUT', body: JSON.stringify(body) })).status).toBe(200)
  expect(await (await call(`${path}/usage`)).json()).toMatchObject({
    ...{
      totalCpuQuota: 13,
      concurrentWorkspaceQuota: 4,
      totalWorkspaceQuota: 5,
      imageQuota: 6,
      totalImageSizeQuota: 8,
    },
  })
})
