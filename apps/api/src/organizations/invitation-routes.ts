import { CreateInvitation, OrganizationInvitation, UpdateInvitation } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { InvitationService } from './invitation-service.ts'

export interface InvitationRoutesOptions {
  invitations: InvitationService
}

const Organization = Type.Object({ organizationId: Type.String() })
const Invitation = Type.Object({ organizationId: Type.String(), invitationId: Type.String() })
const MyInvitation = Type.Object({ invitationId: Type.String() })
const tags = ['organizations']
const caller = { access: 'caller' } as const
const owner = { access: 'owner' } as const
const one = OrganizationInvitation
const many = Type.Array(OrganizationInvitation)

/** Serves invitations (§4 of the contract): those of an organization, and those of the caller. */
export const invitationRoutes: FastifyPluginAsyncTypebox<InvitationRoutesOptions> = async (app, options) => {
  await app.register(organizationInvitationRoutes, options)
  await app.register(myInvitationRoutes, options)
}

const organizationInvitationRoutes: FastifyPluginAsyncTypebox<InvitationRoutesOptions> = async (app, options) => {
  const { invitations } = options
  app.get(
    '/organizations/:organizationId/invitations',
    {
      config: owner,
      schema: { tags, summary: 'List invitations that stand', params: Organization, response: { 200: many } },
    },
    ({ principal }) => invitations.list(principal.organizationId),
  )

  app.post(
    '/organizations/:organizationId/invitations',
    {
      config: owner,
      schema: {
        ...{ tags, summary: 'Invite somebody by their email; nothing is sent', params: Organization },
        ...{ body: CreateInvitation, response: { 201: one } },
      },
    },
    async (request, reply) => reply.code(201).send(await invitations.create(request.principal, request.body)),
  )

  app.put(
    '/organizations/:organizationId/invitations/:invitationId',
    {
      config: owner,
      schema: {
        tags,
        summary: 'Change an invitation',
        params: Invitation,
        body: UpdateInvitation,
        response: { 200: one },
      },
    },
    ({ principal, params, body }) => invitations.update(principal.organizationId, params.invitationId, body),
  )

  app.post(
    '/organizations/:organizationId/invitations/:invitationId/cancel',
    { config: owner, schema: { tags, summary: 'Cancel an invitation', params: Invitation } },
    async ({ principal, params }, reply) => {
      await invitations.cancel(principal.organizationId, params.invitationId)
      return reply.code(204).send()
    },
  )
}

const myInvitationRoutes: FastifyPluginAsyncTypebox<InvitationRoutesOptions> = async (app, { invitations }) => {
  app.get(
    '/organizations/invitations',
    { config: caller, schema: { tags, summary: 'List invitations for me', response: { 200: many } } },
    (request) => invitations.listMine(request.caller),
  )

  app.get(
    '/organizations/invitations/count',
    { config: caller, schema: { tags, summary: 'Count invitations for me', response: { 200: Type.Integer() } } },
    (request) => invitations.countMine(request.caller),
  )

  app.post(
    '/organizations/invitations/:invitationId/accept',
    { config: caller, schema: { tags, summary: 'Join an organization', params: MyInvitation, response: { 200: one } } },
    (request) => invitations.accept(request.caller, request.params.invitationId),
  )

  app.post(
    '/organizations/invitations/:invitationId/decline',
    { config: caller, schema: { tags, summary: 'Decline an invitation', params: MyInvitation } },
    async (request, reply) => {
      const organizationId = await invitations.decline(request.caller, request.params.invitationId)
      if (request.audit !== undefined) request.audit.organizationId = organizationId
      return reply.send()
    },
  )
}
