import {
  CreateOrganization,
  Organization,
  SuspendOrganization,
  UpdateDefaultRegion,
  UpdateQuota,
  UsageOverview,
} from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { absentBodyIsEmpty } from '../http/optional-body.ts'
import type { OrganizationService } from './organization-service.ts'

export interface OrganizationRoutesOptions {
  organizations: OrganizationService
}

const ById = Type.Object({ organizationId: Type.String() })
const tags = ['organizations']
const caller = { access: 'caller' } as const
const membership = { access: 'membership' } as const
const owner = { access: 'owner' } as const
const administrator = { access: 'administrator' } as const

/** Daytona's `/organizations` (§4 of the contract), except for members, roles and invitations. */
export const organizationRoutes: FastifyPluginAsyncTypebox<OrganizationRoutesOptions> = async (app, options) => {
  await app.register(lifeRoutes, options)
  await app.register(ownerRoutes, options)
  await app.register(quotaRoutes, options)
  await app.register(suspensionRoutes, options)
}

const lifeRoutes: FastifyPluginAsyncTypebox<OrganizationRoutesOptions> = async (app, { organizations }) => {
  const listSchema = { tags, summary: 'List my organizations', response: { 200: Type.Array(Organization) } }
  app.get('/organizations', { config: caller, schema: listSchema }, (request) => organizations.list(request.caller))

  app.post(
    '/organizations',
    {
      config: caller,
      schema: {
        ...{ tags, summary: 'Create an organization, whose owner is the caller' },
        ...{ body: CreateOrganization, response: { 201: Organization } },
      },
    },
    async (request, reply) => reply.code(201).send(await organizations.create(request.caller, request.body)),
  )

  const getSchema = { tags, summary: 'Get an organization', params: ById, response: { 200: Organization } }
  app.get('/organizations/:organizationId', { config: membership, schema: getSchema }, ({ principal }) =>
    organizations.get(principal.organizationId),
  )
}

const ownerRoutes: FastifyPluginAsyncTypebox<OrganizationRoutesOptions> = async (app, { organizations }) => {
  app.delete(
    '/organizations/:organizationId',
    {
      config: owner,
      schema: { tags, summary: 'Delete an organization with everything it has', params: ById },
    },
    async ({ principal }, reply) => {
      await organizations.delete(principal.organizationId)
      return reply.code(204).send()
    },
  )

  const summary = 'Set the region of sandboxes that name none'
  app.patch(
    '/organizations/:organizationId/default-region',
    { config: owner, schema: { tags, summary, params: ById, body: UpdateDefaultRegion } },
    async ({ principal, body }, reply) => {
      await organizations.setDefaultRegion(principal.organizationId, body.defaultRegionId)
      return reply.send()
    },
  )
}

const quotaRoutes: FastifyPluginAsyncTypebox<OrganizationRoutesOptions> = async (app, { organizations }) => {
  const usageSchema = { tags, summary: 'What is used of what may be', params: ById, response: { 200: UsageOverview } }
  app.get('/organizations/:organizationId/usage', { config: membership, schema: usageSchema }, ({ principal }) =>
    organizations.usage(principal.organizationId),
  )

  // An older generation of clients sends PUT.
  app.route({
    method: ['PATCH', 'PUT'],
    url: '/organizations/:organizationId/quota',
    config: administrator,
    schema: {
      ...{ tags, summary: 'Change what an organization may have; what is null or absent stays' },
      ...{ params: ById, body: UpdateQuota, response: { 200: Organization } },
    },
    handler: ({ params, body }) => organizations.setQuota(params.organizationId, body),
  })
}

const suspensionRoutes: FastifyPluginAsyncTypebox<OrganizationRoutesOptions> = async (app, { organizations }) => {
  app.post(
    '/organizations/:organizationId/suspend',
    {
      config: administrator,
      schema: {
        ...{ tags, summary: 'Suspend an organization: it makes and starts nothing' },
        ...{ params: ById, body: SuspendOrganization },
      },
      preValidation: absentBodyIsEmpty,
    },
    async ({ params, body }, reply) => {
      await organizations.suspend(params.organizationId, body)
      return reply.code(204).send()
    },
  )

  app.post(
    '/organizations/:organizationId/unsuspend',
    { config: administrator, schema: { tags, summary: 'End a suspension', params: ById } },
    async ({ params }, reply) => {
      await organizations.unsuspend(params.organizationId)
      return reply.code(204).send()
    },
  )
}
