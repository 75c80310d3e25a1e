import type { ApiClient } from './api-client.ts'
import { jsonOf } from './api-client.ts'
import type { Chance } from './chance.ts'
import { pause } from './pause.ts'

/** Members that it begins with, and has at most. */
const FIRST_SIZE = 4
const MAX_SIZE = 6
/** Between two changes of its size, in milliseconds. */
const [MIN_GAP_MS, MAX_GAP_MS] = [5_000, 10_000]

/** A warm pool of the organization's own, whose members are hit like any sandbox and taken over by creates. */
export interface WarmPool {
  /** Resolves with whether that was acknowledged. */
  resize(size: number): Promise<boolean>
  /** The same for the pool itself. */
  delete(): Promise<boolean>
}

/** Makes the pool. Throws where there cannot be one. */
export async function openWarmPool(client: ApiClient): Promise<WarmPool> {
  const body = { snapshot: 'host', pool: FIRST_SIZE }
  const made = await client.call('POST', '/warm-pools', { operation: 'make pool', promised: 'quick', body })
  const id = jsonOf(made)?.['id']
  if (id === undefined) throw new Error(`no warm pool can be made: ${JSON.stringify(made)}`)
  return {
    async resize(pool) {
      const call = { operation: 'resize pool', promised: 'quick', body: { pool } } as const
      return (await client.call('PATCH', `/warm-pools/${id}`, call)).kind === 'ok'
    },
    async delete() {
      const call = { operation: 'delete pool', promised: 'quick' } as const
      return (await client.call('DELETE', `/warm-pools/${id}`, call)).kind === 'ok'
    },
  }
}

/** Makes it larger and smaller, or empty, until the storm is over. */
export async function runPool(pool: WarmPool, { chance, over }: { chance: Chance; over: AbortSignal }): Promise<void> {
  while (!over.aborted) {
    await pause(chance.integer(MIN_GAP_MS, MAX_GAP_MS), over)
    if (!over.aborted) await pool.resize(chance.integer(0, MAX_SIZE))
  }
}
