import { randomUUID } from 'node:crypto'
import { createLogger } from '@atoll/service'
import { createPeer } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TestDatabase } from '../testing/test-database.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { runSession } from './runner-session.ts'
import { createRunnerStore } from './runner-store.ts'

let database: TestDatabase

beforeEach(async () => {
  database = await createTestDatabase()
})
afterEach(() => database[Symbol.asyncDispose]())

describe('a runner that was removed', () => {
  it('has no connection that speaks for it, and takes nothing', async () => {
    const store = createRunnerStore(database)
    const id = await store.ensure({ name: 'r', tokenHash: 'a'.repeat(64), region: 'us' })
    const seen = { runnerId: id, connectionId: randomUUID(), at: new Date() }
    expect(await store.claim(seen)).toBe(true)
    expect(await store.setSeen(seen)).toBe(true)
    const candidates = () => database.transaction((tx) => store.lockCandidates(tx, { seenAfter: new Date(0) }))
    expect(await candidates()).toHaveLength(1)
    await database.sql`update runners set removed_at = now()`
    expect(await candidates()).toEqual([])
    expect(await store.claim({ ...seen, connectionId: randomUUID() })).toBe(false)

    // Such a connection's handshake may have been under way.
    const [near, far] = createMemoryLinkPair()
    createPeer(far, { role: 'dialler' })
    const peer = createPeer(near, { role: 'listener' })
    await peer.ready
    const nobody = () => Promise.reject(new Error('nothing is compared'))
    await runSession({
      ...{ runner: { id, name: 'r' }, peer, store, log: createLogger('test', 'silent'), now: Date.now },
      observer: { compare: nobody, confirm: nobody, changed: nobody },
      onReady: () => expect.unreachable(),
    })
    expect(peer.closed).toBe(true)
  })
})
