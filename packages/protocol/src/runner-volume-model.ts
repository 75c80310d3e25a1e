import type { Static } from 'typebox'
import { Type } from 'typebox'

/** A volume's size where its maker names none, and at most, in GiB. It takes what is written to it, not its size. */
export const DEFAULT_VOLUME_GIB = 10
export const MAX_VOLUME_GIB = 65_536
/** Volumes that one sandbox may have. */
export const MAX_SANDBOX_VOLUMES = 16

export const VolumeId = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$' })

export const MakeVolume = Type.Object({
  /** Absent: DEFAULT_VOLUME_GIB, or the size it has. */
  sizeGiB: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: MAX_VOLUME_GIB })),
})
export type MakeVolume = Static<typeof MakeVolume>

/** A folder on the runner's host that outlives sandboxes and may be in several of them at once. */
export const RunnerVolume = Type.Object({
  volumeId: Type.String(),
  sizeGiB: Type.Number(),
  /** What its files take on the host now. */
  usedGiB: Type.Number(),
})
export type RunnerVolume = Static<typeof RunnerVolume>

/** Where a volume appears in a sandbox, writable for all its users. */
export const VolumeMount = Type.Object({
  volumeId: VolumeId,
  /**
   * Absolute and without `.`, `..` or empty parts. Not `/`, nor in or above /opt/atoll, /run/atoll, /proc, /sys and /dev, nor
   * in a folder the snapshot brings read-only (/usr and its like under `host`): BAD_REQUEST. Made where the image has none.
   */
  mountPath: Type.String({ minLength: 2, maxLength: 1024, pattern: '^/' }),
  /** A folder in the volume that appears instead of the whole, made where there is none; relative, without `..`. */
  subpath: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
})
export type VolumeMount = Static<typeof VolumeMount>
