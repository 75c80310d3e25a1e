import { OrganizationUser, UpdateAssignedRoles, UpdateMemberAccess, UpdateMemberRole } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { MemberService } from './member-service.ts'

export interface MemberRoutesOptions {
  members: MemberService
}

const Organization = Type.Object({ organizationId: Type.String() })
const Member = Type.Object({ organizationId: Type.String(), userId: Type.String() })
const tags = ['organizations']
const membership = { access: 'membership' } as const
const owner = { access: 'owner' } as const
const response = { 200: OrganizationUser }

/** Serves the members of an organization (§4 of the contract). */
export const memberRoutes: FastifyPluginAsyncTypebox<MemberRoutesOptions> = async (app, options) => {
  await app.register(belongingRoutes, options)
  await app.register(accessRoutes, options)
}

const belongingRoutes: FastifyPluginAsyncTypebox<MemberRoutesOptions> = async (app, { members }) => {
  app.get(
    '/organizations/:organizationId/users',
    {
      config: membership,
      schema: { tags, summary: 'List members', params: Organization, response: { 200: Type.Array(OrganizationUser) } },
    },
    ({ principal }) => members.list(principal),
  )

  app.delete(
    '/organizations/:organizationId/users/:userId',
    { config: owner, schema: { tags, summary: 'Remove a member, with their API keys', params: Member } },
    async ({ principal, params }, reply) => {
      await members.remove(principal, params.userId)
      return reply.code(204).send()
    },
  )

  app.post(
    '/organizations/:organizationId/leave',
    { config: membership, schema: { tags, summary: 'Leave an organization', params: Organization } },
    async ({ principal }, reply) => {
      await members.leave(principal)
      return reply.code(204).send()
    },
  )
}

const accessRoutes: FastifyPluginAsyncTypebox<MemberRoutesOptions> = async (app, { members }) => {
  app.post(
    '/organizations/:organizationId/users/:userId/role',
    {
      config: owner,
      schema: {
        tags,
        summary: 'Make a member an owner, or an owner a member',
        params: Member,
        body: UpdateMemberRole,
        response,
      },
    },
    ({ principal, params, body }) => members.setAccess(principal, params.userId, { role: body.role }),
  )

  app.post(
    '/organizations/:organizationId/users/:userId/assigned-roles',
    {
      config: owner,
      schema: { tags, summary: 'Replace the roles of a member', params: Member, body: UpdateAssignedRoles, response },
    },
    ({ principal, params, body }) =>
      members.setAccess(principal, params.userId, { roles: { field: 'roleIds', ids: body.roleIds } }),
  )

  app.post(
    '/organizations/:organizationId/users/:userId/access',
    {
      config: owner,
      schema: { tags, summary: 'Set what a member is and may', params: Member, body: UpdateMemberAccess, response },
    },
    ({ principal, params, body: { role, assignedRoleIds } }) =>
      members.setAccess(principal, params.userId, { role, roles: { field: 'assignedRoleIds', ids: assignedRoleIds } }),
  )
}
