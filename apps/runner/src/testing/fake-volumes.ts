import type { RunnerVolume } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { VolumeHolder } from '../drivers/volume-holder.ts'

/** Volumes that are entries of a map. */
export function createFakeVolumes(calls: string[]): VolumeHolder {
  const held = new Map<string, RunnerVolume>()
  return {
    list: async () => [...held.values()],
    get: async (volumeId) => {
      const volume = held.get(volumeId)
      if (volume === undefined) throw new AppError('VOLUME_NOT_FOUND', `there is no volume ${volumeId}`)
      return volume
    },
    make: async (volumeId, { sizeGiB = 10 }) => {
      calls.push(`make volume ${volumeId}`)
      const volume = held.get(volumeId) ?? { volumeId, sizeGiB, usedGiB: 0 }
      held.set(volumeId, volume)
      return volume
    },
    remove: async (volumeId) => {
      calls.push(`remove volume ${volumeId}`)
      held.delete(volumeId)
    },
  }
}
