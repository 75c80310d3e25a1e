import { describe, expect, it } from 'vitest'
import { type DialRetry, type KeepDialledOptions, keepDialled } from './keep-dialled.ts'
import { FakeClock } from './testing/fake-clock.ts'
import { expectNothingLeft } from './testing/leak-check.ts'
import { createTunnelPair, turn } from './testing/tunnel-pair.ts'
import type { TunnelPeer } from './types.ts'

expectNothingLeft()

/** A dialler whose attempts succeed or fail as the test says. */
function start(plan: ('fail' | 'succeed')[] = [], options: Partial<KeepDialledOptions> = {}) {
  const clock = new FakeClock()
  const retries: DialRetry[] = []
  const peers: TunnelPeer[] = []
  let dials = 0
  const kept = keepDialled({
    async dial() {
      dials += 1
      if (plan.shift() !== 'succeed') throw new Error('refused')
      return (await createTunnelPair()).dialler
    },
    onPeer: (peer) => peers.push(peer),
    onRetry: (retry) => retries.push(retry),
    jitter: () => 1,
    clock,
    ...options,
  })
  return { clock, retries, peers, kept, dials: () => dials }
}

async function turns(count: number): Promise<void> {
  for (let done = 0; done < count; done += 1) await turn()
}

describe('a kept tunnel', () => {
  it('is dialled again after waits that double from 100 ms to 10 s', async () => {
    const { clock, retries, kept } = start()
    for (let attempt = 0; attempt < 10; attempt += 1) {
      await turns(2)
      clock.advanceToNext()
    }
    await turns(2)
    expect(retries.map(({ retryInMs }) => retryInMs)).toEqual([
      100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, 10_000,
    ])
    expect(retries.every(({ after, error }) => after === 'failed' && error.message === 'refused')).toBe(true)
    await kept.stop()
    expect(clock.waiting).toBe(0)
  })

  it('waits a random part of the bound', async () => {
    const { retries, kept } = start([], { jitter: () => 0.25 })
    await turns(2)
    expect(retries[0]?.retryInMs).toBe(25)
    await kept.stop()
  })

  it('starts over after one that stood for long, and not after one that fell at once', async () => {
    const { clock, retries, peers, kept } = start(['fail', 'succeed', 'succeed', 'fail'])
    await turns(2)
    clock.advance(100)
    await turns(6)
    expect(kept.peer).toBe(peers[0])
    peers[0]?.close()
    await turns(2)
    clock.advance(200)
    await turns(6)
    clock.advance(10_000)
    peers[1]?.close()
    await turns(2)
    expect(kept.peer).toBeUndefined()
    expect(retries.map(({ after, attempts, retryInMs }) => [after, attempts, retryInMs])).toEqual([
      ['failed', 1, 100],
      ['ended', 2, 200],
      ['ended', 1, 100],
    ])
    await kept.stop()
  })

  it('is closed by stop, which ends attempts and waits too', async () => {
    const standing = start(['succeed'])
    await turns(6)
    await standing.kept.stop()
    expect(standing.peers.map((peer) => peer.closed)).toEqual([true])
    const dials = standing.dials()
    standing.clock.advance(60_000)
    await turns(2)
    expect(standing.dials()).toBe(dials)

    const waiting = start()
    await turns(2)
    await waiting.kept.stop()
    expect(waiting.clock.waiting).toBe(0)

    const controller = new AbortController()
    const aborted: AbortSignal[] = []
    const attempting = start([], {
      signal: controller.signal,
      dial: (signal) =>
        new Promise((_resolve, reject) => {
          aborted.push(signal)
          signal.addEventListener('abort', () => reject(new Error('aborted')))
        }),
    })
    controller.abort()
    await attempting.kept.stop()
    expect(aborted[0]?.aborted).toBe(true)
    expect(attempting.retries).toEqual([])
  })

  it('goes through the states of its table, and a tunnel that comes too late is closed', async () => {
    let finish: (peer: TunnelPeer) => void = () => undefined
    const late = start([], { dial: () => new Promise((resolve) => (finish = resolve)) })
    expect(late.kept.state).toBe('dialling')
    const stopped = late.kept.stop()
    expect(late.kept.state).toBe('stopping')
    const { dialler } = await createTunnelPair()
    finish(dialler)
    await stopped
    expect([late.kept.state, dialler.closed, late.peers, late.retries]).toEqual(['stopped', true, [], []])

    const { clock, kept, peers } = start(['fail', 'succeed'])
    const seen = [kept.state]
    for (const step of [() => undefined, () => clock.advance(100), () => undefined, () => peers[0]?.close()]) {
      step()
      seen.push(kept.state)
      await turns(6)
      seen.push(kept.state)
    }
    expect(seen.filter((state, index) => state !== seen[index - 1])).toEqual([
      ...['dialling', 'backing_off', 'dialling', 'connected', 'backing_off'],
    ])
    await kept.stop()
    expect(kept.state).toBe('stopped')
  })
})
