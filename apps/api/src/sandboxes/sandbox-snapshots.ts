import type { SnapshotSandbox } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import { userActor } from '../reconciliation/state-events.ts'
import type { SnapshotService } from '../snapshots/snapshot-service.ts'
import { snapshotUnknown } from '../snapshots/snapshot-service.ts'
import type { SnapshotStore } from '../snapshots/snapshot-store.ts'
import type { SnapshotRow } from '../snapshots/snapshot-table.ts'
import type { SandboxChanges } from './sandbox-changes.ts'
import type { SandboxCommands } from './sandbox-commands.ts'
import type { SandboxFacts } from './sandbox-dto.ts'
import { toFacts } from './sandbox-dto.ts'
import type { SandboxSnapshotStore } from './sandbox-snapshot-store.ts'

export interface SandboxSnapshotsOptions {
  commands: Pick<SandboxCommands, 'find'>
  snapshots: Pick<SnapshotService, 'begin'>
  snapshotStore: Pick<SnapshotStore, 'findById'>
  links: Pick<SandboxSnapshotStore, 'beginSnapshot'>
  changes: Pick<SandboxChanges, 'emit'>
}

/** Makes snapshots of sandboxes, and finds the builds that they were made from. All methods throw SANDBOX_NOT_FOUND. */
export interface SandboxSnapshots {
  /**
   * Begins to make a snapshot of a sandbox's files; the sandbox shows `snapshotting` until that is done. Throws
   * SANDBOX_STATE_CONFLICT for one that neither runs nor has stopped, BAD_REQUEST for its memory, and as `begin` does.
   */
  make(caller: Principal, idOrName: string, body: SnapshotSandbox): Promise<SandboxFacts>
  /** Returns the build that a sandbox's create brought along. Throws SNAPSHOT_UNKNOWN. */
  buildOf(caller: Principal, idOrName: string): Promise<{ sandboxId: string; row: SnapshotRow }>
}

export function createSandboxSnapshots(options: SandboxSnapshotsOptions): SandboxSnapshots {
  const { commands, snapshots, snapshotStore, links, changes } = options
  return {
    async make(caller, idOrName, { name, includeMemory }) {
      if (includeMemory === true) {
        throw new AppError('BAD_REQUEST', 'The memory of a sandbox cannot be kept, only its files')
      }
      const { id, runnerId, cpu, memoryGib, diskGib, entrypoint } = await commands.find(caller, idOrName)
      const details = { name, cpu, memory: memoryGib, disk: diskGib, ...(entrypoint === null ? {} : { entrypoint }) }
      await snapshots.begin(caller, details, {
        ...{ kind: 'sandbox', sandboxId: id, runnerId: runnerId ?? '' },
        async hold(tx, snapshotId) {
          const row = await links.beginSnapshot(tx, id, { snapshotId, actor: userActor(caller) })
          if (row === undefined) throw new AppError('SANDBOX_STATE_CONFLICT', 'Sandbox is not in valid state')
        },
      })
      const row = await commands.find(caller, id)
      changes.emit(row, row)
      return toFacts(row)
    },
    async buildOf(caller, idOrName) {
      const { id, buildInfo, snapshotId } = await commands.find(caller, idOrName)
      const row = buildInfo === null || snapshotId === null ? undefined : await snapshotStore.findById(snapshotId)
      if (row === undefined) throw snapshotUnknown(`of the build of sandbox ${idOrName}`)
      return { sandboxId: id, row }
    },
  }
}
