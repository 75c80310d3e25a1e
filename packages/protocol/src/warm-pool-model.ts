import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Most members of one pool of an organization. */
export const MAX_WARM_POOL_SIZE = 100

/** Most pools of one organization. */
export const MAX_WARM_POOLS = 20

const Time = Type.String({ format: 'date-time' })
const Size = Type.Integer({ minimum: 0, maximum: MAX_WARM_POOL_SIZE, description: 'Sandboxes to keep ready' })

/** A warm pool as clients see it: §20.1 of the contract, from SDK 0.218. */
export const WarmPool = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    organizationId: Type.String(),
    snapshot: Type.String({ description: 'Name' }),
    target: Type.String({ description: 'Region' }),
    pool: Size,
    currentSize: Type.Integer({ description: 'Sandboxes that are ready' }),
    cpu: Type.Number({ description: 'Cores of each' }),
    mem: Type.Number({ description: 'GiB of each' }),
    disk: Type.Number({ description: 'GiB of each' }),
    osUser: Type.String(),
    env: Type.Record(Type.String(), Type.String()),
    errorReason: Type.Union([Type.String(), Type.Null()], { description: 'Why there are fewer than there shall be' }),
    createdAt: Time,
    updatedAt: Time,
  },
  { $id: 'WarmPool' },
)
export type WarmPool = Static<typeof WarmPool>

/** Body of `POST /warm-pools`. */
export const CreateWarmPool = Type.Object({
  snapshot: Type.String({ minLength: 1, maxLength: 512, description: 'Id or name' }),
  pool: Size,
  target: Type.Optional(Type.String({ maxLength: 255, description: "Absent: the organization's own region" })),
})
export type CreateWarmPool = Static<typeof CreateWarmPool>

/** Body of `PATCH /warm-pools/{id}`. */
export const UpdateWarmPool = Type.Object({ pool: Size })
export type UpdateWarmPool = Static<typeof UpdateWarmPool>
