import { setTimeout as delay } from 'node:timers/promises'
import { startAtoll } from '@atoll/dev-env'
import type { LifeClient } from './life-client.ts'
import { createLifeClient } from './life-client.ts'
import { createSystemClient } from './system.ts'

const FULL_WITHIN_MS = 5 * 60_000
const FULL_POLL_MS = 100

/** A separate system with a warm pool. */
export interface WarmSystem extends AsyncDisposable {
  readonly life: LifeClient
  /** Resolves when the warm pool has all its members. */
  untilFull(): Promise<void>
}

/** Starts a system with a warm pool of `members` members. The caller must dispose of it. */
export async function startWarmSystem(checkout: string, members: number): Promise<WarmSystem> {
  const size = `${members}`
  const atoll = await startAtoll({ checkout, env: { ATOLL_WARM_POOL_MIN: size, ATOLL_WARM_POOL_MAX: size } })
  const client = createSystemClient(atoll)
  const ready = async () => {
    const text = await (await fetch(`${atoll.url}/metrics`)).text()
    return Number(/^atoll_warm_pool_members (\d+)$/m.exec(text)?.[1])
  }
  return {
    life: createLifeClient(atoll, client),
    untilFull: async () => {
      const giveUpAt = performance.now() + FULL_WITHIN_MS
      while ((await ready()) < members) {
        if (performance.now() > giveUpAt) throw new Error(`the pool has ${await ready()} of ${members} members`)
        await delay(FULL_POLL_MS)
      }
    },
    [Symbol.asyncDispose]: async () => {
      client.close()
      await atoll[Symbol.asyncDispose]()
    },
  }
}
