import type { SandboxStatus } from '@atoll/protocol'
import { shownState } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { RunnerCallError } from '../runners/runner-client.ts'
import type { ConnectedRunner, RunnerObserver } from '../runners/runner-session.ts'
import { isSandboxId } from './sandbox-id.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'

const NOT_FOUND = 'not found on its runner'

export interface SandboxSyncOptions {
  store: Pick<SandboxStore, 'change' | 'findMany' | 'startedOn'>
  log: Logger
}

/**
 * Makes rows and runners agree where no reconciliation is due: a sandbox that ended by itself is stopped in its
 * row, one that runs against its row is stopped on its runner, and one that was destroyed is deleted there (R9).
 */
export function createSandboxSync({ store, log }: SandboxSyncOptions): RunnerObserver {
  async function ended(runner: ConnectedRunner, id: string, reason: string): Promise<void> {
    const actor = { kind: 'runner' } as const
    const result = await store.change({ id, event: 'exited', actor, runnerId: runner.id, reason })
    if (result?.outcome.kind === 'changed') log.info({ sandboxId: id, reason }, 'a sandbox ended by itself')
  }

  /** What exists on the runner against its row. */
  async function settle(runner: ConnectedRunner, status: SandboxStatus, row: SandboxRow | undefined): Promise<void> {
    if (row === undefined || row.runnerId !== runner.id) {
      log.warn({ sandboxId: status.sandboxId, runner: runner.name }, 'a runner has a sandbox that is not its own')
      return
    }
    const shown = shownState(row)
    if (shown === 'destroyed') await runner.client.remove(row.id)
    else if (status.state === 'running' && (shown === 'stopped' || shown === 'error')) {
      await runner.client.stop(row.id, { graceMs: 0 })
    }
  }

  return {
    async compare(runner, statuses) {
      const rows = await store.findMany(statuses.map((status) => status.sandboxId).filter(isSandboxId))
      const byId = new Map(rows.map((row) => [row.id, row]))
      for (const status of statuses) {
        const failed = (error: unknown) => {
          // One sandbox that cannot be put right must not keep all the others from their runner.
          log.error({ err: error, sandboxId: status.sandboxId }, 'a sandbox could not be settled on its runner')
        }
        await settle(runner, status, byId.get(status.sandboxId)).catch(failed)
      }
      const byStatus = new Map(statuses.map((status) => [status.sandboxId, status]))
      for (const id of await store.startedOn(runner.id)) {
        const status = byStatus.get(id)
        if (status?.state === 'running') continue
        await ended(
          runner,
          id,
          status?.reason ?? (status === undefined ? NOT_FOUND : 'ended while its runner was away'),
        )
      }
    },

    async changed(runner, { sandboxId, reason }) {
      if (!isSandboxId(sandboxId)) return
      // An event may be older than the newest start, so what counts is what is true now.
      const status = await currentStatus(runner, sandboxId)
      if (status.state === 'stopped') await ended(runner, sandboxId, status.reason ?? reason ?? 'ended by itself')
    },
  }
}

async function currentStatus(runner: ConnectedRunner, sandboxId: string): Promise<SandboxStatus> {
  try {
    return await runner.client.status(sandboxId)
  } catch (error) {
    if (!(error instanceof RunnerCallError) || error.status !== 404) throw error
    return { sandboxId, state: 'stopped', reason: NOT_FOUND }
  }
}
