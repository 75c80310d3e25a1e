import type { Static } from 'typebox'
import { Type } from 'typebox'

/** The default and the largest size of a volume, in GiB. A volume takes disk space only for what is written to it. */
export const DEFAULT_VOLUME_GIB = 10
export const MAX_VOLUME_GIB = 65_536
/** Most volumes of one sandbox. */
export const MAX_SANDBOX_VOLUMES = 16

export const VolumeId = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$' })

export const MakeVolume = Type.Object({
  /** Absent: DEFAULT_VOLUME_GIB for a new volume, the present size for an existing one. */
  sizeGiB: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: MAX_VOLUME_GIB })),
})
export type MakeVolume = Static<typeof MakeVolume>

/** A folder on the runner's host that outlives sandboxes and may be in several of them at once. */
export const RunnerVolume = Type.Object({
  volumeId: Type.String(),
  sizeGiB: Type.Number(),
  /** The space that its files take on the host now. */
  usedGiB: Type.Number(),
})
export type RunnerVolume = Static<typeof RunnerVolume>

/** The place of a volume in a sandbox, writable for all users of the sandbox. */
export const VolumeMount = Type.Object({
  volumeId: VolumeId,
  /**
   * An absolute path without `.`, `..` or empty parts. BAD_REQUEST for `/`, for a path in or above /opt/atoll, /run/atoll,
   * /proc, /sys or /dev, and for one in a read-only folder of the snapshot (such as /usr of `host`). The folder is made if
   * the image has none.
   */
  mountPath: Type.String({ minLength: 2, maxLength: 1024, pattern: '^/' }),
  /** A folder in the volume to mount instead of the whole, made if it is missing; a relative path without `..`. */
  subpath: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
})
export type VolumeMount = Static<typeof VolumeMount>
