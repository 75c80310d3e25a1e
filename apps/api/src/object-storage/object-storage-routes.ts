import { StorageAccess } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { PublicOrigin } from '../http/public-origin.ts'
import type { PushAccess } from './push-access.ts'

export interface ObjectStorageRoutesOptions {
  pushAccess: PushAccess
  publicOrigin: PublicOrigin
}

/** Daytona's `/object-storage` (§11 of the contract). */
export const objectStorageRoutes: FastifyPluginAsyncTypebox<ObjectStorageRoutesOptions> = async (app, options) => {
  const { pushAccess, publicOrigin } = options
  const summary = "Get credentials of S3 for the organization's objects, for an hour"
  app.get(
    '/object-storage/push-access',
    {
      config: { access: 'membership' },
      schema: { tags: ['object-storage'], summary, response: { 200: StorageAccess } },
    },
    async (request) => pushAccess.issue(request.principal.organizationId, publicOrigin(request)),
  )
}
