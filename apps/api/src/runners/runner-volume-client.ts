import type { MakeVolume } from '@atoll/protocol'
import { RunnerVolume } from '@atoll/protocol'
import { Type } from 'typebox'
import type { RunnerCalls } from './runner-snapshot-client.ts'

const VolumeList = Type.Object({ items: Type.Array(RunnerVolume) })

/** Calls for a runner's volumes. Throws as the other calls of a runner do. */
export interface RunnerVolumeClient {
  list(signal?: AbortSignal): Promise<RunnerVolume[]>
  /** Makes a volume; one that exists already stays as it is. */
  make(id: string, body: MakeVolume, signal?: AbortSignal): Promise<RunnerVolume>
  remove(id: string, signal?: AbortSignal): Promise<void>
}

export function createRunnerVolumeClient({ call, answer }: RunnerCalls): RunnerVolumeClient {
  return {
    async list(signal) {
      const { items } = await answer(VolumeList, call({ method: 'GET', path: '/volumes', signal }))
      return items
    },
    make: (id, body, signal) => answer(RunnerVolume, call({ method: 'PUT', path: pathOf(id), body, signal })),
    async remove(id, signal) {
      await call({ method: 'DELETE', path: pathOf(id), signal })
    },
  }
}

function pathOf(id: string): string {
  return `/volumes/${encodeURIComponent(id)}`
}
