import { randomUUID } from 'node:crypto'
import type { ErrorBody, OrganizationInvitation, OrganizationUser } from '@atoll/protocol'
import { OrganizationInvitation as InvitationSchema } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { InjectedAnswer, OrganizationWorld } from '../testing/organization-world.ts'
import { createOrganizationWorld } from '../testing/organization-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'
import { MAX_STANDING_INVITATIONS } from './invitation-service.ts'

const DEVELOPER = '00000000-0000-0000-0000-000000000001'
const VOLUMES = '00000000-0000-0000-0000-000000000006'
const WEEK_MS = 7 * 24 * 3_600_000

let world: OrganizationWorld
let owner: TestPrincipal
let guest: TestPrincipal
let path: string

beforeAll(async () => {
  world = await createOrganizationWorld()
})
afterAll(() => world[Symbol.asyncDispose]())
beforeEach(async () => {
  owner = await world.createOrganization(await world.createUser())
  guest = await world.createUser()
  path = `/organizations/${owner.organizationId}/invitations`
})

const codeOf = ({ status, body }: InjectedAnswer) => [status, (body as ErrorBody).code]
const emailOf = ({ userId }: TestPrincipal) => `${userId}@example.org`
const invite = (body: object) => world.call('POST', path, { as: owner, body })
const mine = async (as: TestPrincipal) => (await world.call('GET', '/organizations/invitations', { as })).body
const answer = (id: string, verb: 'accept' | 'decline', as: TestPrincipal) =>
  world.call('POST', `/organizations/invitations/${id}/${verb}`, { as })

async function invited(body: object = {}): Promise<OrganizationInvitation> {
  const { status, body: invitation } = await invite({ email: emailOf(guest), ...body })
  expect(status).toBe(201)
  return invitation as OrganizationInvitation
}

async function expire(id: string): Promise<void> {
  // The database's clock has microseconds, the API's milliseconds.
  await world.api.database.sql`
    update organization_invitations set expires_at = now() - interval '1 second' where id = ${id}`
}

test('an organization has a bounded number of invitations that stand', async () => {
  const first = await invited()
  await world.api.database.sql`
    insert into organization_invitations (organization_id, email, invited_by, role, expires_at)
    select ${owner.organizationId}, 'guest' || n || '@example.org', '', 'member', now() + interval '1 day'
    from generate_series(2, ${MAX_STANDING_INVITATIONS}) as n`
  expect(codeOf(await invite({ email: 'more@example.org' }))).toEqual([403, 'QUOTA_EXCEEDED'])
  await expire(first.id)
  expect((await invite({ email: 'more@example.org' })).status).toBe(201)
})

test('an invitation stands for a week, and makes whoever accepts a Developer', async () => {
  const invitation = await invited()
  expect(Value.Check(InvitationSchema, invitation)).toBe(true)
  expect(invitation).toMatchObject({
    ...{ email: emailOf(guest), invitedBy: emailOf(owner), organizationName: 'Reef', status: 'pending' },
    ...{ role: 'member', assignedRoles: [{ id: DEVELOPER }] },
  })
  const lasts = Date.parse(invitation.expiresAt) - Date.parse(invitation.createdAt)
  expect(Math.abs(lasts - WEEK_MS)).toBeLessThan(60_000)
  expect(await mine(guest)).toEqual([invitation])
  expect((await world.call('GET', '/organizations/invitations/count', { as: guest })).body).toBe(1)
  expect((await world.call('GET', path, { as: owner })).body).toEqual([invitation])

  const accepted = await answer(invitation.id, 'accept', guest)
  expect([accepted.status, (accepted.body as OrganizationInvitation).status]).toEqual([200, 'accepted'])
  const users = (await world.call('GET', path.replace('invitations', 'users'), { as: owner })).body
  expect((users as OrganizationUser[]).find(({ userId }) => userId === guest.userId)).toMatchObject({
    ...{ role: 'member', assignedRoles: [{ id: DEVELOPER }] },
  })
  expect(await mine(guest)).toEqual([])
  expect((await world.call('GET', path, { as: owner })).body).toEqual([])
})

test('of two who accept at once, or accept and decline, one wins', async () => {
  for (const second of ['accept', 'decline'] as const) {
    const { id } = await invited()
    const answers = await Promise.all([answer(id, 'accept', guest), answer(id, second, guest)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 403])
    await world.api.database.sql`delete from organization_users where user_id = ${guest.userId} and role = 'member'`
  }
})

test('an answer is final', async () => {
  const { id } = await invited()
  const declined = await answer(id, 'decline', guest)
  expect([declined.status, declined.body]).toEqual([200, ''])
  expect(codeOf(await answer(id, 'accept', guest))).toEqual([403, 'INVITATION_NOT_PENDING'])
  const body = { role: 'member', assignedRoleIds: [] }
  expect((await world.call('PUT', `${path}/${id}`, { as: owner, body })).status).toBe(403)
  expect((await world.call('POST', `${path}/${id}/cancel`, { as: owner })).status).toBe(403)
  // A user who declined may be invited again.
  expect((await invite({ email: emailOf(guest) })).status).toBe(201)
})

test('an email means the same in any case', async () => {
  const { id } = await invited({ email: emailOf(guest).toUpperCase() })
  expect(await mine(guest)).toMatchObject([{ id }])
  expect(codeOf(await invite({ email: emailOf(guest) }))).toEqual([409, 'ALREADY_INVITED'])
  expect((await answer(id, 'accept', guest)).status).toBe(200)
  expect(codeOf(await invite({ email: emailOf(guest).toUpperCase() }))).toEqual([409, 'ALREADY_MEMBER'])
})

test('of two invitations of the same person at once one is made', async () => {
  const answers = await Promise.all([1, 2, 3].map(() => invite({ email: emailOf(guest) })))
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409])
})

test('an invitation of others looks like one that does not exist', async () => {
  const { id } = await invited()
  const [stranger, elsewhere] = [await world.createUser(), await world.createOrganization(await world.createUser())]
  const nobody = await world.createUser()
  await world.api.database.sql`update users set email = '' where id = ${nobody.userId}`
  for (const unknown of [id, randomUUID(), 'nonsense']) {
    const message = `Organization invitation with ID ${unknown} not found`
    for (const verb of ['accept', 'decline'] as const) {
      for (const as of [stranger, nobody]) {
        expect(await answer(unknown, verb, as)).toMatchObject({ status: 404, body: { message } })
      }
    }
    const cancel = `/organizations/${elsewhere.organizationId}/invitations/${unknown}/cancel`
    expect(await world.call('POST', cancel, { as: elsewhere })).toMatchObject({ status: 404, body: { message } })
  }
  expect(await mine(nobody)).toEqual([])
  expect(await mine(guest)).toHaveLength(1)
})

test('what has expired can be neither answered nor changed, and is asked anew', async () => {
  const { id } = await invited()
  await expire(id)
  expect(await mine(guest)).toEqual([])
  expect((await world.call('GET', '/organizations/invitations/count', { as: guest })).body).toBe(0)
  for (const verb of ['accept', 'decline'] as const) {
    expect(await answer(id, verb, guest)).toMatchObject({
      status: 403,
      body: { message: 'The invitation has expired' },
    })
  }
  const body = { role: 'member', assignedRoleIds: [], expiresAt: new Date(Date.now() + WEEK_MS).toISOString() }
  expect((await world.call('PUT', `${path}/${id}`, { as: owner, body })).status).toBe(403)
  expect((await invite({ email: emailOf(guest) })).status).toBe(201)
})

test('an invitation is changed and cancelled by the owner', async () => {
  const { id, expiresAt } = await invited()
  const changed = await world.call('PUT', `${path}/${id}`, {
    as: owner,
    body: { role: 'owner', assignedRoleIds: [VOLUMES] },
  })
  expect(changed.body).toMatchObject({ role: 'owner', assignedRoles: [{ id: VOLUMES }], expiresAt })
  const cancelled = await world.call('POST', `${path}/${id}/cancel`, { as: owner })
  expect([cancelled.status, cancelled.body]).toEqual([204, ''])
  expect(codeOf(await answer(id, 'accept', guest))).toEqual([403, 'INVITATION_NOT_PENDING'])
})

test('bad invitations are refused, and nobody is invited to a personal organization', async () => {
  const email = emailOf(guest)
  const past = '2020-01-01T00:00:00Z'
  for (const body of [
    {},
    { email: 'nobody' },
    { email, role: 'king' },
    { email, assignedRoleIds: ['x'] },
    { email, expiresAt: past },
    { email, expiresAt: 'x' },
  ]) {
    expect((await invite(body)).status).toBe(400)
  }
  const own = `/organizations/${guest.organizationId}/invitations`
  expect(codeOf(await world.call('POST', own, { as: guest, body: { email: 'a@example.org' } }))).toEqual([
    403,
    'ORGANIZATION_IS_PERSONAL',
  ])
  expect(await mine(guest)).toEqual([])
})

test('an invitation of a deleted organization is gone', async () => {
  const { id } = await invited()
  await world.call('DELETE', `/organizations/${owner.organizationId}`, { as: owner })
  expect(await mine(guest)).toEqual([])
  expect(codeOf(await answer(id, 'accept', guest))).toEqual([404, 'INVITATION_NOT_FOUND'])
})

test('an address that is not verified is invited to nothing, and makes no organization', async () => {
  const { id } = await invited()
  await world.api.database.sql`update users set email_verified = false where id = ${guest.userId}`
  expect(await mine(guest)).toEqual([])
  expect(codeOf(await answer(id, 'accept', guest))).toEqual([404, 'INVITATION_NOT_FOUND'])
  const created = await world.call('POST', '/organizations', { as: guest, body: { name: 'Reef' } })
  expect([created.status, (created.body as ErrorBody).message]).toEqual([403, 'Verify your email address first'])
})
