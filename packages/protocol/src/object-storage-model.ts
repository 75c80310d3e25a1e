import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Answer of `GET /object-storage/push-access` (§11 of the contract), with what newer clients need. */
export const StorageAccess = Type.Object(
  {
    accessKey: Type.String(),
    secret: Type.String(),
    sessionToken: Type.String(),
    storageUrl: Type.String({ description: 'Endpoint for a client of S3, with paths that begin with the bucket' }),
    organizationId: Type.String({ description: 'Keys begin with it and a slash' }),
    bucket: Type.String(),
    region: Type.String(),
  },
  { $id: 'StorageAccess' },
)
export type StorageAccess = Static<typeof StorageAccess>
