import { randomUUID } from 'node:crypto'
import { UpdateOrganizationMemberRoleRoleEnum as Role } from 'daytona-api-client-0-23'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { organizations23, organizations218, refusal } from './testing/api-clients.ts'
import { eventually } from './testing/eventually.ts'
import type { Guest } from './testing/guest.ts'
import { signedIn } from './testing/guest.ts'

const DEVELOPER = '00000000-0000-0000-0000-000000000001'

const owner = organizations23()
let organizationId: string
let [ada, bob]: Guest[] = []

beforeAll(async () => {
  ;[ada, bob] = [await signedIn('Ada'), await signedIn('Bob')]
  organizationId = (await owner.createOrganization({ name: `Lagoon ${randomUUID()}` })).data.id
})
afterAll(() => owner.deleteOrganization(organizationId))

describe('people in an organization', () => {
  it('are invited, and join with the roles they were invited to', async () => {
    const guest = known(ada)
    const api = organizations23(guest.accessToken)
    expect(await refusal(api.getOrganization(organizationId))).toMatchObject({ status: 404 })
    // The address is in another case than the guest's own.
    const id = await invite(guest.email.toUpperCase())
    expect((await api.getOrganizationInvitationsCountForAuthenticatedUser()).data).toBe(1)
    expect((await api.listOrganizationInvitationsForAuthenticatedUser()).data).toMatchObject([{ id, organizationId }])
    const stranger = organizations23(known(bob).accessToken)
    expect(await refusal(stranger.acceptOrganizationInvitation(id))).toMatchObject({ status: 404 })
    await api.acceptOrganizationInvitation(id)
    expect((await api.listOrganizationMembers(organizationId)).data).toContainEqual(
      expect.objectContaining({ userId: guest.userId, role: 'member', email: guest.email }),
    )
    expect((await api.listOrganizations()).data.map((organization) => organization.id)).toContain(organizationId)
    expect(await refusal(api.acceptOrganizationInvitation(id))).toMatchObject({ status: 403 })
  })

  it('may decline', async () => {
    const api = organizations218(known(bob).accessToken)
    const id = await invite(known(bob).email)
    await api.declineOrganizationInvitation(id)
    expect((await api.listOrganizationInvitationsForAuthenticatedUser()).data).toEqual([])
    expect(await refusal(api.getOrganization(organizationId))).toMatchObject({ status: 404 })
  })

  it('are told by the newest client which invitation they accepted', async () => {
    const { data } = await organizations218(known(bob).accessToken).acceptOrganizationInvitation(
      await invite(known(bob).email),
    )
    expect(data).toMatchObject({ organizationId, status: 'accepted' })
  })

  it('change nothing unless they own it', async () => {
    const api = organizations23(known(ada).accessToken)
    const { userId } = known(bob)
    for (const attempt of [
      () => api.updateRoleForOrganizationMember(organizationId, userId, { role: Role.OWNER }),
      () => api.deleteOrganizationMember(organizationId, userId),
      () => api.deleteOrganization(organizationId),
      () => api.listOrganizationRoles(organizationId),
    ]) {
      expect(await refusal(attempt())).toMatchObject({ status: 403 })
    }
  })

  it('become owners, leave, and are removed', async () => {
    const { data } = await owner.updateRoleForOrganizationMember(organizationId, known(ada).userId, {
      role: Role.OWNER,
    })
    expect(data.role).toBe('owner')
    const api = organizations23(known(ada).accessToken)
    await eventually('the new owner may', async () => {
      const roles = await api.listOrganizationRoles(organizationId).catch(() => undefined)
      return roles?.status === 200
    })
    await api.leaveOrganization(organizationId)
    await owner.deleteOrganizationMember(organizationId, known(bob).userId)
    expect((await owner.listOrganizationMembers(organizationId)).data).toHaveLength(1)
    await eventually('the member is gone', async () => {
      const left = await organizations23(known(bob).accessToken)
        .getOrganization(organizationId)
        .catch(() => undefined)
      return left === undefined
    })
  })
})

async function invite(email: string): Promise<string> {
  const body = { email, role: Role.MEMBER, assignedRoleIds: [DEVELOPER] }
  return (await owner.createOrganizationInvitation(organizationId, body)).data.id
}

function known(guest: Guest | undefined): Guest {
  if (guest === undefined) throw new Error('nobody has signed in yet')
  return guest
}
