import type { UpdateNetworkSettings, UpdateResources, UpdateWorkspaceResources } from '@atoll/protocol'
import { AppError, shownState } from '@atoll/protocol'
import type { Principal } from '../../auth/principal.ts'
import type { Queryable } from '../../database/database.ts'
import type { Resources } from '../../runners/placement.ts'
import type { RunnerService } from '../../runners/runner-service.ts'
import type { BackupStore } from '../backups/backup-store.ts'
import type { SandboxColumns } from '../sandbox-change-store.ts'
import type { Command, SandboxCommands } from '../sandbox-commands.ts'
import { sandboxNotFound } from '../sandbox-commands.ts'
import type { SandboxFacts } from '../sandbox-dto.ts'
import { toFacts } from '../sandbox-dto.ts'
import type { SandboxRoom } from '../sandbox-room.ts'
import { statusOn } from '../sandbox-steps.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import type { StateWaiter } from '../state-waiter.ts'
import { planNetworkChange } from './network-settings.ts'
import { planResize } from './resize-rules.ts'

/** The time that a runner has to say whether it has a sandbox, in milliseconds. */
const STATUS_WAIT_MS = 5_000

export interface SandboxOperationsOptions {
  commands: SandboxCommands
  room: SandboxRoom
  runners: Pick<RunnerService, 'lockLost' | 'client'>
  backups: Pick<BackupStore, 'request'>
  /** Has the keeper of backups look for work. */
  wakeBackups: () => void
  wait: StateWaiter
}

/** Changes a sandbox as a whole. All but `setNetwork` return at once; all throw SANDBOX_NOT_FOUND and SANDBOX_STATE_CONFLICT. */
export interface SandboxOperations {
  /** Archives a stopped sandbox: its files go to the object store and are removed from its runner. */
  archive(caller: Principal, idOrName: string): Promise<SandboxFacts>
  /** Backs up a started or stopped sandbox: a copy of its files goes to the object store. */
  backUp(caller: Principal, idOrName: string): Promise<SandboxFacts>
  /** Resizes a sandbox. Throws as `planResize` and the quotas do, and NO_AVAILABLE_RUNNER. */
  resize(caller: Principal, idOrName: string, resources: UpdateResources): Promise<SandboxFacts>
  /** Does the same for the workspace generation; throws FORBIDDEN for a GPU. */
  resizeWorkspace(caller: Principal, idOrName: string, resources: UpdateWorkspaceResources): Promise<SandboxFacts>
  /**
   * Recovers a sandbox from an error that left its files, or from a lost runner with the files of its backup, which loses
   * later changes. Throws NO_AVAILABLE_RUNNER and as the quotas do.
   */
  recover(caller: Principal, idOrName: string, options: { start: boolean }): Promise<SandboxFacts>
  /**
   * Changes the network settings and waits until they are in force, at most half a minute: then the sandbox still shows
   * `resizing`. Throws VALIDATION_FAILED.
   */
  setNetwork(
    caller: Principal,
    idOrName: string,
    change: { settings: UpdateNetworkSettings; signal: AbortSignal },
  ): Promise<SandboxFacts>
}

export function createSandboxOperations(options: SandboxOperationsOptions): SandboxOperations {
  const { commands, room, runners, backups } = options

  async function resize(caller: Principal, idOrName: string, resources: UpdateResources): Promise<SandboxFacts> {
    const before = async (tx: Queryable, row: SandboxRow): Promise<SandboxColumns> => {
      const wanted = planResize(row, resources)
      await room.forResize(tx, row, wanted)
      return resizeTo(wanted)
    }
    return toFacts(await commands.give(caller, idOrName, { event: 'resize', before }))
  }

  /** Returns the runner of a lost sandbox, if that runner is connected and says that it does not have the sandbox. */
  async function runnerWithout({ id, runnerId, lost }: SandboxRow): Promise<string | undefined> {
    const runner = lost && runnerId !== null ? runners.client(runnerId) : undefined
    if (runner === undefined || runnerId === null) return undefined
    try {
      const status = await statusOn(runner, id, AbortSignal.timeout(STATUS_WAIT_MS))
      return status === undefined ? runnerId : undefined
    } catch {
      // The runner did not say.
      return undefined
    }
  }

  /** L5: a sandbox is not recovered from a runner that has just been heard of, unless that does not have it. */
  async function afterLoss(
    row: SandboxRow,
    before: NonNullable<Command['before']>,
  ): Promise<NonNullable<Command['before']>> {
    const without = await runnerWithout(row)
    return async (tx, current) => {
      const { lost, runnerId } = current
      if (lost && runnerId !== null && runnerId !== without && !(await runners.lockLost(tx, runnerId))) {
        throw new AppError('SANDBOX_STATE_CONFLICT', 'Sandbox state change in progress: its runner is returning')
      }
      return await before(tx, current)
    }
  }

  return {
    resize,
    async archive(caller, idOrName) {
      return toFacts(await commands.give(caller, idOrName, { event: 'archive' }))
    },

    async backUp(caller, idOrName) {
      const { id } = await commands.find(caller, idOrName)
      const row = await backups.request(id, caller.organizationId)
      if (row === undefined) throw sandboxNotFound(idOrName)
      options.wakeBackups()
      return toFacts(row)
    },

    async resizeWorkspace(caller, idOrName, { gpu = 0, ...resources }) {
      if (gpu !== 0) throw new AppError('FORBIDDEN', 'No runner has a GPU')
      return await resize(caller, idOrName, resources)
    },

    async recover(caller, idOrName, { start }) {
      const before = await afterLoss(await commands.find(caller, idOrName), start ? room.forStart : room.forRecovery)
      return toFacts(await commands.give(caller, idOrName, { event: start ? 'recover' : 'recoverStopped', before }))
    },

    async setNetwork(caller, idOrName, { settings, signal }) {
      if (Object.values(settings).every((setting) => setting === undefined)) {
        throw new AppError('VALIDATION_FAILED', 'Give one of networkBlockAll, networkAllowList and domainAllowList')
      }
      const before = async (_tx: Queryable, row: SandboxRow): Promise<SandboxColumns> => {
        return { ...resizeTo(row), ...planNetworkChange(row, settings) }
      }
      const row = await commands.give(caller, idOrName, { event: 'resize', before, reason: 'network settings' })
      const settled = await options.wait(row, (lifecycle) => shownState(lifecycle) === 'resizing', signal)
      return toFacts(settled ?? row)
    },
  }
}

function resizeTo({ cpu, memoryGib, diskGib }: Resources): SandboxColumns {
  return { resizeCpu: cpu, resizeMemoryGib: memoryGib, resizeDiskGib: diskGib }
}
