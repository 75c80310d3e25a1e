import { ApiKeyList, ApiKeyResponse, CreateApiKey } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Principal } from '../auth/principal.ts'
import { isSdkAtLeast } from '../http/sdk-version.ts'
import type { ApiKeyService } from './api-key-service.ts'

export interface ApiKeyRoutesOptions {
  apiKeys: ApiKeyService
}

/** From this version on, clients show the user of each key, so that owners may get all users' keys. */
const LISTS_EVERYBODYS = '0.180.0'

const ByName = Type.Object({ name: Type.String() })
const ByOwner = Type.Object({ userId: Type.String(), name: Type.String() })
const tags = ['api-keys']
const membership = { access: 'membership' } as const

/** Serves API keys: §5 of the contract. */
export const apiKeyRoutes: FastifyPluginAsyncTypebox<ApiKeyRoutesOptions> = async (app, options) => {
  await app.register(collectionRoutes, options)
  await app.register(keyByNameRoutes, options)
}

const collectionRoutes: FastifyPluginAsyncTypebox<ApiKeyRoutesOptions> = async (app, { apiKeys }) => {
  const summary = 'Make an API key; its value is in this answer only'
  app.post(
    '/api-keys',
    { config: membership, schema: { tags, summary, body: CreateApiKey, response: { 201: ApiKeyResponse } } },
    async ({ principal, body }, reply) => reply.code(201).send(await apiKeys.create(principal, body)),
  )

  const listSummary = `List the caller's API keys; for who manages keys, and clients from ${LISTS_EVERYBODYS} on, everybody's`
  app.get(
    '/api-keys',
    { config: membership, schema: { tags, summary: listSummary, response: { 200: Type.Array(ApiKeyList) } } },
    (request) => {
      const isAll = isSdkAtLeast(request, LISTS_EVERYBODYS) && managesKeys(request.principal)
      return apiKeys.list(request.principal, isAll ? 'all' : 'own')
    },
  )

  app.get(
    '/api-keys/current',
    { config: membership, schema: { tags, summary: 'Get the key of this call', response: { 200: ApiKeyList } } },
    ({ principal }) => apiKeys.current(principal),
  )
}

const keyByNameRoutes: FastifyPluginAsyncTypebox<ApiKeyRoutesOptions> = async (app, { apiKeys }) => {
  app.get(
    '/api-keys/:name',
    { config: membership, schema: { tags, summary: 'Get an API key', params: ByName, response: { 200: ApiKeyList } } },
    ({ principal, params }) => apiKeys.get(principal, params.name),
  )

  app.delete(
    '/api-keys/:name',
    { config: membership, schema: { tags, summary: 'Delete an API key; it works no more at once', params: ByName } },
    async ({ principal, params }, reply) => {
      await apiKeys.delete(principal, { userId: principal.userId, name: params.name })
      return reply.code(204).send()
    },
  )

  app.delete(
    '/api-keys/:userId/:name',
    {
      config: { access: 'manage:api_keys' },
      schema: { tags, summary: "Delete a member's API key; it works no more at once", params: ByOwner },
    },
    async ({ principal, params }, reply) => {
      await apiKeys.delete(principal, params)
      return reply.send()
    },
  )
}

function managesKeys({ systemRole, permissions }: Principal): boolean {
  return systemRole === 'admin' || permissions.has('manage:api_keys')
}
