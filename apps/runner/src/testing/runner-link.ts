import { createLogger } from '@atoll/service'
import type { TunnelPeer } from '@atoll/tunnel'
import { createPeer } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import type { SandboxDriver } from '../drivers/driver.ts'
import { createRunnerInterface } from '../runner-interface.ts'

/** The API's end of a tunnel to a runner's interface over `driver`. */
export interface RunnerLink extends Disposable {
  readonly api: TunnelPeer
}

/** Links two peers in memory, without any network. The caller disposes it. */
export async function createRunnerLink(driver: SandboxDriver): Promise<RunnerLink> {
  const [apiLink, runnerLink] = createMemoryLinkPair()
  const options = { driver, readInfo: () => Promise.reject(new Error('nobody asks')), onReady: () => undefined }
  const onRequest = createRunnerInterface({ ...options, log: createLogger('test', 'silent'), now: () => 0 })
  const runner = createPeer(runnerLink, { role: 'dialler', onRequest })
  const api = createPeer(apiLink, { role: 'listener' })
  await api.ready
  return {
    api,
    [Symbol.dispose]() {
      api.close()
      runner.close()
    },
  }
}
