import type { MakeVolume, RunnerVolume } from '@atoll/protocol'

/**
 * The volumes a driver holds. A malformed id throws BAD_REQUEST, an unknown one VOLUME_NOT_FOUND except where said
 * otherwise. Calls for one id run one after the other.
 */
export interface VolumeHolder {
  list(): Promise<RunnerVolume[]>
  get(volumeId: string): Promise<RunnerVolume>
  /** There already: as it is. */
  make(volumeId: string, wanted: MakeVolume): Promise<RunnerVolume>
  /** Unknown: nothing to do. Throws VOLUME_IN_USE. */
  remove(volumeId: string): Promise<void>
}
