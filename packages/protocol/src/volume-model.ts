import type { Static } from 'typebox'
import { Type } from 'typebox'
import { VolumeState } from './volume-state.ts'

/** Longest name of a volume, in characters. */
export const MAX_VOLUME_NAME_LENGTH = 255

/** Longest path at which a volume is mounted, and longest path within a volume, in characters. */
export const MAX_MOUNT_PATH_LENGTH = 1_024

const Time = Type.String({ format: 'date-time' })

/** A volume as clients see it (§10 of the contract). */
export const Volume = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    name: Type.String(),
    organizationId: Type.String(),
    state: VolumeState,
    createdAt: Time,
    updatedAt: Time,
    lastUsedAt: Type.Union([Time, Type.Null()]),
    errorReason: Type.Union([Type.String(), Type.Null()]),
  },
  { $id: 'Volume' },
)
export type Volume = Static<typeof Volume>

/** Body of `POST /volumes`. */
export const CreateVolume = Type.Object({
  name: Type.String({ maxLength: MAX_VOLUME_NAME_LENGTH, description: "Empty: the volume's id" }),
})
export type CreateVolume = Static<typeof CreateVolume>

/** Query of `GET /volumes`. */
export const ListVolumes = Type.Object({ includeDeleted: Type.Optional(Type.Boolean()) })

/** A volume of a sandbox and its place there. */
export const SandboxVolume = Type.Object(
  {
    volumeId: Type.String({ minLength: 1, maxLength: MAX_VOLUME_NAME_LENGTH, description: 'Id or name' }),
    mountPath: Type.String({ minLength: 1, maxLength: MAX_MOUNT_PATH_LENGTH, description: 'Absolute' }),
    subpath: Type.Optional(
      Type.String({ maxLength: MAX_MOUNT_PATH_LENGTH, description: 'Folder within the volume, made if missing' }),
    ),
  },
  { $id: 'SandboxVolume' },
)
export type SandboxVolume = Static<typeof SandboxVolume>
