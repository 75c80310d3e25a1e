import type { MakeVolume, RunnerVolume } from '@atoll/protocol'

/**
 * The volumes a driver holds. A malformed id throws BAD_REQUEST, an unknown id VOLUME_NOT_FOUND except where said
 * otherwise. Calls for one id run one after the other.
 */
export interface VolumeHolder {
  list(): Promise<RunnerVolume[]>
  get(volumeId: string): Promise<RunnerVolume>
  /** Makes a volume; leaves an existing volume as it is. */
  make(volumeId: string, wanted: MakeVolume): Promise<RunnerVolume>
  /** Removes a volume; does nothing for an unknown id. Throws VOLUME_IN_USE. */
  remove(volumeId: string): Promise<void>
}
