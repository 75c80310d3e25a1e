import { setTimeout as delay } from 'node:timers/promises'
import type { RunningAtoll } from '@atoll/dev-env'
import type { Sandbox } from '@daytonaio/sdk'
import { Daytona } from '@daytonaio/sdk'
import type { SystemClient } from './system.ts'
import { readText } from './system.ts'

const GONE_WITHIN_MS = 60_000
const GONE_POLL_MS = 20

/** What a user of the official SDK does with whole sandboxes. */
export interface LifeClient {
  /** Resolves when it has started. */
  create(): Promise<Sandbox>
  /** A sandbox with this one's present files, by our own endpoint; resolves when it has started. */
  fork(sandbox: Sandbox): Promise<Sandbox>
  /** Throws unless the command ends with 0. */
  execute(sandbox: Sandbox, command: string): Promise<void>
  /** Waits until nothing of them is left: what is still being removed would slow whatever is measured next. */
  remove(sandboxes: readonly Sandbox[]): Promise<void>
}

export function createLifeClient(atoll: RunningAtoll, client: SystemClient): LifeClient {
  // A target keeps the SDK from looking for .env files.
  const daytona = new Daytona({ apiKey: atoll.apiKey, apiUrl: `${atoll.url}/api`, target: 'us' })
  return {
    create: () => daytona.create(),
    fork: async ({ id }) => {
      const answer = await client.call('POST', `/api/sandbox/${id}/fork`, { body: {} })
      const sandbox = await daytona.get(readText(answer, 'id'))
      await sandbox.waitUntilStarted()
      return sandbox
    },
    execute: async (sandbox, command) => {
      const { exitCode, result } = await sandbox.process.executeCommand(command)
      if (exitCode !== 0) throw new Error(`${command}: exit ${exitCode} ${result}`)
    },
    remove: async (sandboxes) => {
      await Promise.all(sandboxes.map((sandbox) => sandbox.delete()))
      for (const sandbox of sandboxes) await untilGone(sandbox)
    },
  }
}

async function untilGone(sandbox: Sandbox): Promise<void> {
  const giveUpAt = performance.now() + GONE_WITHIN_MS
  // The newest states are not among those that this SDK names.
  while (String(sandbox.state) !== 'destroyed') {
    if (performance.now() > giveUpAt) throw new Error(`sandbox ${sandbox.id} is still ${sandbox.state}`)
    await delay(GONE_POLL_MS)
    await sandbox.refreshData()
  }
}
