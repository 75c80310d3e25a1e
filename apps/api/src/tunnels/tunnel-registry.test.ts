import type { TunnelPeer } from '@atoll/tunnel'
import { createPeer } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { describe, expect, it } from 'vitest'
import { createTunnelRegistry, type LinkChange } from './tunnel-registry.ts'

async function tunnel(): Promise<{ peer: TunnelPeer; far: TunnelPeer }> {
  const [near, other] = createMemoryLinkPair()
  const far = createPeer(other, { role: 'dialler' })
  const peer = createPeer(near, { role: 'listener' })
  await peer.ready
  return { peer, far }
}

const never = new AbortController().signal

describe('the tunnel registry', () => {
  it('gives the newest link of a sandbox, and closes the one it replaces', async () => {
    const registry = createTunnelRegistry()
    const [first, second] = [await tunnel(), await tunnel()]
    registry.add({ sandboxId: 's', tokenHash: 'a', peer: first.peer, sequence: 1 })
    registry.add({ sandboxId: 's', tokenHash: 'a', peer: second.peer, sequence: 2 })
    await first.far.whenClosed
    expect(registry.get('s')).toBe(second.peer)
    expect(registry.size).toBe(1)
    registry.close()
  })

  it('does not let a slow older connection replace a newer one', async () => {
    const registry = createTunnelRegistry()
    const [older, newer] = [await tunnel(), await tunnel()]
    registry.add({ sandboxId: 's', tokenHash: 'a', peer: newer.peer, sequence: 2 })
    registry.add({ sandboxId: 's', tokenHash: 'a', peer: older.peer, sequence: 1 })
    await older.far.whenClosed
    expect(registry.get('s')).toBe(newer.peer)
    registry.close()
  })

  it('forgets a link that ends', async () => {
    const registry = createTunnelRegistry()
    const { peer, far } = await tunnel()
    registry.add({ sandboxId: 's', tokenHash: 'a', peer, sequence: 1 })
    far.close()
    await peer.whenClosed
    await Promise.resolve()
    expect(registry.get('s')).toBeUndefined()
    expect(registry.size).toBe(0)
  })

  it('tells of every change of a link, and how long the state before lasted', async () => {
    const changes: LinkChange[] = []
    const registry = createTunnelRegistry((change) => changes.push(change))
    const [first, second] = [await tunnel(), await tunnel()]
    registry.add({ sandboxId: 's', tokenHash: 'a', peer: first.peer, sequence: 1 })
    registry.add({ sandboxId: 's', tokenHash: 'a', peer: second.peer, sequence: 2 })
    await first.peer.whenClosed
    registry.disconnect('s', 'it stops')
    await second.peer.whenClosed
    registry.disconnect('s', 'it stops')
    await expect.poll(() => changes).toHaveLength(6)
    expect(changes.map(({ event, from, to, reason }) => [event, from, to, reason])).toEqual([
      ['greeted', 'greeting', 'current', undefined],
      ['greeted', 'greeting', 'current', undefined],
      ['replace', 'current', 'dismissed', 'replaced by a newer connection'],
      ['end', 'dismissed', 'over', undefined],
      ['disconnect', 'current', 'dismissed', 'it stops'],
      ['end', 'dismissed', 'over', undefined],
    ])
    expect(changes.every(({ sandboxId, durationMs }) => sandboxId === 's' && Number.isInteger(durationMs))).toBe(true)
  })

  it('knows of which sandboxes a call is open', async () => {
    const registry = createTunnelRegistry()
    const [busy, idle] = [await tunnel(), await tunnel()]
    registry.add({ sandboxId: 'busy', tokenHash: 'a', peer: busy.peer, sequence: 1 })
    registry.add({ sandboxId: 'idle', tokenHash: 'b', peer: idle.peer, sequence: 2 })
    const nothing = { onResponse: () => undefined, onData: () => undefined, onEnd: () => undefined }
    const call = busy.peer.request({ method: 'GET', path: '/', headers: {} }, { ...nothing, onReset: () => undefined })
    expect(registry.busyIds()).toEqual(['busy'])
    expect(['busy', 'idle', 'unknown'].map((id) => registry.isBusy(id))).toEqual([true, false, false])
    call.reset('CANCELLED', 'the test ends it')
    await expect.poll(() => registry.busyIds()).toEqual([])
    registry.close()
  })

  it('tells those who wait for exactly this token', async () => {
    const registry = createTunnelRegistry()
    const [old, fresh] = [await tunnel(), await tunnel()]
    let connected = false
    const waiting = registry.whenConnected('s', 'new', never).then(() => {
      connected = true
    })
    expect(registry.expects('new')).toBe(true)
    registry.add({ sandboxId: 's', tokenHash: 'old', peer: old.peer, sequence: 1 })
    registry.add({ sandboxId: 'other', tokenHash: 'new', peer: old.peer, sequence: 2 })
    await new Promise((resolve) => setImmediate(resolve))
    expect(connected).toBe(false)
    registry.add({ sandboxId: 's', tokenHash: 'new', peer: fresh.peer, sequence: 3 })
    await waiting
    expect(registry.expects('new')).toBe(false)
    await registry.whenConnected('s', 'new', never)
    registry.close()
  })

  it('ends a wait with the reason of its signal, and keeps nothing of it', async () => {
    const registry = createTunnelRegistry()
    const controller = new AbortController()
    const waiting = registry.whenConnected('s', 'a', controller.signal)
    controller.abort(new Error('no more time'))
    await expect(waiting).rejects.toThrow('no more time')
    expect(registry.expects('a')).toBe(false)
    await expect(registry.whenConnected('s', 'a', controller.signal)).rejects.toThrow('no more time')
  })

  it('disconnects one sandbox or all', async () => {
    const registry = createTunnelRegistry()
    const [first, second] = [await tunnel(), await tunnel()]
    registry.add({ sandboxId: 'a', tokenHash: 'a', peer: first.peer, sequence: 1 })
    registry.add({ sandboxId: 'b', tokenHash: 'b', peer: second.peer, sequence: 2 })
    registry.disconnect('a', 'gone')
    registry.disconnect('unknown', 'gone')
    await first.far.whenClosed
    expect(registry.get('b')).toBe(second.peer)
    registry.close()
    await second.far.whenClosed
  })
})
