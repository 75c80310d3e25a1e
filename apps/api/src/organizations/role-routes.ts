import { OrganizationRole, WriteOrganizationRole } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { RoleService } from './role-service.ts'

export interface RoleRoutesOptions {
  roles: RoleService
}

const Organization = Type.Object({ organizationId: Type.String() })
const Role = Type.Object({ organizationId: Type.String(), roleId: Type.String() })
const tags = ['organizations']
const owner = { access: 'owner' } as const

/** Serves the roles of an organization (§4 of the contract). */
export const roleRoutes: FastifyPluginAsyncTypebox<RoleRoutesOptions> = async (app, { roles }) => {
  const body = WriteOrganizationRole
  const list = { 200: Type.Array(OrganizationRole) }
  app.get(
    '/organizations/:organizationId/roles',
    { config: owner, schema: { tags, summary: 'List roles, global ones too', params: Organization, response: list } },
    ({ principal }) => roles.list(principal.organizationId),
  )

  app.post(
    '/organizations/:organizationId/roles',
    {
      config: owner,
      schema: { tags, summary: 'Create a role', params: Organization, body, response: { 201: OrganizationRole } },
    },
    async (request, reply) => reply.code(201).send(await roles.create(request.principal.organizationId, request.body)),
  )

  app.put(
    '/organizations/:organizationId/roles/:roleId',
    {
      config: owner,
      schema: { tags, summary: 'Change a role', params: Role, body, response: { 200: OrganizationRole } },
    },
    ({ principal, params, body: values }) => roles.update(principal.organizationId, params.roleId, values),
  )

  app.delete(
    '/organizations/:organizationId/roles/:roleId',
    { config: owner, schema: { tags, summary: 'Delete a role; whoever has it loses it', params: Role } },
    async ({ principal, params }, reply) => {
      await roles.delete(principal.organizationId, params.roleId)
      return reply.code(204).send()
    },
  )
}
