import { setTimeout as delay } from 'node:timers/promises'
import type { RunningAtoll } from '@atoll/dev-env'
import type { Sandbox } from '@daytonaio/sdk'
import { Daytona } from '@daytonaio/sdk'
import type { SystemClient } from './system.ts'
import { readText } from './system.ts'

const GONE_WITHIN_MS = 60_000
const GONE_POLL_MS = 20

/** A client that creates, forks, uses and removes sandboxes with the official SDK. */
export interface LifeClient {
  /** Creates a sandbox and resolves when it has started. */
  create(): Promise<Sandbox>
  /** Makes a sandbox with the present files of this one, by our own endpoint; resolves when it has started. */
  fork(sandbox: Sandbox): Promise<Sandbox>
  /** Runs a command. Throws unless it ends with 0. */
  execute(sandbox: Sandbox, command: string): Promise<void>
  /** Removes sandboxes and waits until nothing of them is left: a removal under way would slow the next measurement. */
  remove(sandboxes: readonly Sandbox[]): Promise<void>
}

export function createLifeClient(atoll: RunningAtoll, client: SystemClient): LifeClient {
  // The target keeps the SDK from looking for .env files.
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
  // This SDK does not know the newest states.
  while (String(sandbox.state) !== 'destroyed') {
    if (performance.now() > giveUpAt) throw new Error(`sandbox ${sandbox.id} is still ${sandbox.state}`)
    await delay(GONE_POLL_MS)
    await sandbox.refreshData()
  }
}
