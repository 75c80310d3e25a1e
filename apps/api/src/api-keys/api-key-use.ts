import type { Logger } from '@atoll/service'
import type { ApiKeyStore } from './api-key-store.ts'

/** The shortest time between two writes. */
const FLUSH_INTERVAL_MS = 1_000
/** The most keys in one write; further keys wait for the next. */
const MAX_KEYS_PER_WRITE = 500
/** The most keys remembered between writes; the use of a further key is not recorded. */
const MAX_PENDING_KEYS = 10_000

/** Remembers when keys were used and writes it to the database every second. */
export interface ApiKeyUse {
  record(apiKeyId: string): void
  /** Writes the pending uses, and none afterwards. */
  close(): Promise<void>
}

export function createApiKeyUse(options: {
  store: Pick<ApiKeyStore, 'recordUse'>
  log: Logger
  now: () => number
}): ApiKeyUse {
  const pending = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()
  let closed = false

  async function write(): Promise<void> {
    const batch = [...pending].slice(0, MAX_KEYS_PER_WRITE)
    for (const [apiKeyId] of batch) pending.delete(apiKeyId)
    try {
      if (batch.length > 0) {
        await options.store.recordUse(batch.map(([apiKeyId, at]) => ({ apiKeyId, usedAt: new Date(at) })))
      }
    } catch (error) {
      options.log.warn({ err: error, keys: batch.length }, 'cannot record the use of API keys')
    }
  }

  function schedule(): void {
    timer ??= setTimeout(() => {
      timer = undefined
      writing = write().then(() => {
        if (pending.size > 0 && !closed) schedule()
      })
    }, FLUSH_INTERVAL_MS)
  }

  return {
    record(apiKeyId) {
      if (closed || (pending.size >= MAX_PENDING_KEYS && !pending.has(apiKeyId))) return
      pending.set(apiKeyId, options.now())
      schedule()
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await writing
      while (pending.size > 0) await write()
    },
  }
}
