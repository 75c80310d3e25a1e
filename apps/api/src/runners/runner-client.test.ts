import type { StartSandbox } from '@atoll/protocol'
import { createPeer } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { RunnerClient } from './runner-client.ts'
import { createRunnerClient, FORK_TIMEOUT_MS, LAUNCH_TIMEOUT_MS, RESIZE_TIMEOUT_MS } from './runner-client.ts'

const START: StartSandbox = { toolboxToken: 'a-token-of-sixteen', env: {} }
const SPEC = {
  ...{ snapshot: 'host', user: 'daytona', network: 'nat' as const },
  limits: { cpu: 1, memoryGiB: 1, diskGiB: 1, pids: 1 },
}

/** The client of a runner that never replies. */
let client: RunnerClient
let end: () => void
beforeEach(async () => {
  const [near, far] = createMemoryLinkPair()
  const silent = createPeer(far, {
    role: 'dialler',
    onRequest: (exchange) => {
      exchange.handlers = { onData() {}, onEnd() {}, onReset() {} }
    },
  })
  const peer = createPeer(near, { role: 'listener' })
  await peer.ready
  client = createRunnerClient(peer)
  end = () => silent.close('the test is over')
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
  end()
})

it.each<[string, number, (signal: AbortSignal) => Promise<unknown>]>([
  ['a start', 30_000, (signal) => client.start('a', START, signal)],
  ['the stream of events', 30_000, () => client.events()],
  ['a fork', FORK_TIMEOUT_MS, (signal) => client.launch('a', { spec: { ...SPEC, forkOf: 'b' }, start: START }, signal)],
  ['a launch', LAUNCH_TIMEOUT_MS, (signal) => client.launch('a', { spec: SPEC, start: START }, signal)],
  ['a resize', RESIZE_TIMEOUT_MS, (signal) => client.resize('a', { diskGiB: 2 }, signal)],
])('%s waits for its answer for %i ms and no longer', async (_what, timeoutMs, call) => {
  let failure: unknown
  const answer = call(new AbortController().signal).catch((error: unknown) => {
    failure = error
  })
  await vi.advanceTimersByTimeAsync(timeoutMs - 1)
  expect(failure).toBeUndefined()
  await vi.advanceTimersByTimeAsync(1)
  await answer
  expect(failure).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
})
