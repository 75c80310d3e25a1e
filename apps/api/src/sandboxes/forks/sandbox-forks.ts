import type { ForkSandbox } from '@atoll/protocol'
import { AppError, DESTROYED_READABLE_MS, phaseOf, sandboxStateTable } from '@atoll/protocol'
import type { Principal } from '../../auth/principal.ts'
import type { Queryable } from '../../database/database.ts'
import type { Quotas } from '../../organizations/quotas.ts'
import type { VolumeService } from '../../volumes/volume-service.ts'
import { ownerOf } from '../owner-of.ts'
import type { SandboxChanges } from '../sandbox-changes.ts'
import type { SandboxCommands } from '../sandbox-commands.ts'
import { sandboxNotFound } from '../sandbox-commands.ts'
import type { SandboxFacts } from '../sandbox-dto.ts'
import { toFacts } from '../sandbox-dto.ts'
import { checkSandboxName } from '../sandbox-name.ts'
import type { Handover, SandboxReconciler } from '../sandbox-reconciler.ts'
import type { SandboxRoom } from '../sandbox-room.ts'
import type { SandboxStore } from '../sandbox-store.ts'
import type { NewSandboxRow, SandboxRow } from '../sandbox-table.ts'
import type { StartWaiter } from '../start-waiter.ts'
import type { ForkStore } from './fork-store.ts'

export interface SandboxForksOptions {
  store: ForkStore
  sandboxes: Pick<SandboxStore, 'insert'>
  commands: Pick<SandboxCommands, 'find'>
  room: Pick<SandboxRoom, 'forNew'>
  quotas: Pick<Quotas, 'requireActive'>
  volumes: Pick<VolumeService, 'planMounts' | 'attach'>
  changes: SandboxChanges
  reconciler: Pick<SandboxReconciler, 'handOver'>
  waitUntilStarted: StartWaiter
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Forks sandboxes, and finds forks and their ancestors. All methods throw SANDBOX_NOT_FOUND. */
export interface SandboxForks {
  /**
   * Makes a sandbox with the files, and the settings, that another one has now, and waits until it has started. Throws
   * SANDBOX_STATE_CONFLICT for a parent that neither runs nor has stopped, NO_AVAILABLE_RUNNER when the parent's runner
   * takes no more, SANDBOX_NAME_TAKEN, and as the quotas and the wait do.
   */
  fork(caller: Principal, idOrName: string, asked: ForkSandbox & { signal: AbortSignal }): Promise<SandboxFacts>
  /** Returns the direct forks of a sandbox, newest first. */
  list(caller: Principal, idOrName: string, includeDestroyed: boolean): Promise<SandboxFacts[]>
  parent(caller: Principal, idOrName: string): Promise<SandboxFacts>
  /** Returns the parent of a fork, the parent of that, and so on. */
  ancestors(caller: Principal, idOrName: string): Promise<SandboxFacts[]>
}

export function createSandboxForks(options: SandboxForksOptions): SandboxForks {
  const { store, commands, changes, waitUntilStarted, now } = options
  const destroyedAfter = () => new Date(now() - DESTROYED_READABLE_MS)

  return {
    async fork(caller, idOrName, { name: asked, signal }) {
      const name = checkSandboxName(asked)
      const { id } = await commands.find(caller, idOrName)
      using handover = options.reconciler.handOver()
      const row = await store.transaction(async (tx) => {
        const parent = await store.lock(tx, id, caller.organizationId)
        if (parent === undefined) throw sandboxNotFound(idOrName)
        checkForkable(parent)
        return await insertFork(options, tx, { parent, name, caller, handover })
      })
      handover.complete(row)
      changes.emit(row)
      return toFacts(await waitUntilStarted(row, signal))
    },

    async list(caller, idOrName, includeDestroyed) {
      const parent = await commands.find(caller, idOrName)
      return (await store.forksOf(parent, includeDestroyed ? destroyedAfter() : undefined)).map(toFacts)
    },

    async parent(caller, idOrName) {
      const child = await commands.find(caller, idOrName)
      if (child.forkedFromId === null) {
        throw new AppError('SANDBOX_NOT_FOUND', `Sandbox ${idOrName} is not a fork of another`)
      }
      return toFacts(await commands.find(caller, child.forkedFromId))
    },

    async ancestors(caller, idOrName) {
      return (await store.ancestorsOf(await commands.find(caller, idOrName), destroyedAfter())).map(toFacts)
    },
  }
}

/** Checks the state table, and refuses a parent that a snapshot is made of: it stands still for longer than a fork may wait. */
function checkForkable(parent: SandboxRow): void {
  const cell = sandboxStateTable[phaseOf(parent)].fork
  if (typeof cell === 'object') throw new AppError(cell.code, cell.message)
  if (parent.snapshottingId === null) return
  throw new AppError('SANDBOX_STATE_CONFLICT', 'Sandbox state change in progress')
}

interface Forking {
  /** The parent's row, locked. */
  parent: SandboxRow
  name: string | null
  caller: Principal
  handover: Handover
}

/** Writes the fork's row. It locks in the order of every transaction: the sandbox, its organization, volumes, runners. */
async function insertFork(
  options: SandboxForksOptions,
  tx: Queryable,
  { parent, name, caller, handover }: Forking,
): Promise<SandboxRow> {
  const { quotas, volumes, room, sandboxes, now } = options
  const { runnerId } = parent
  const organizationId = ownerOf(parent)
  if (runnerId === null) throw new AppError('NO_AVAILABLE_RUNNER', 'No available runners')
  const organization = await quotas.requireActive(tx, organizationId)
  const { mounts } = await volumes.planMounts(tx, organizationId, parent.volumes)
  const places = { holders: [runnerId], canTravel: false, only: runnerId }
  await room.forNew(tx, organization, { ...sizeOf(parent), places, target: parent.target, class: parent.class })
  const at = new Date(now())
  const times = { changedAt: at, lastActivityAt: at, createdAt: at, updatedAt: at }
  const states = { state: 'creating', desiredState: 'started' } as const
  const row = await sandboxes.insert(
    tx,
    {
      ...{ ...inherited(parent), ...times, ...states, organizationId, name, runnerId, forkedFromId: parent.id },
      lease: handover.lease(runnerId),
    },
    { kind: 'user', id: caller.userId },
  )
  if (row === undefined) throw new AppError('SANDBOX_NAME_TAKEN', `Sandbox with name ${name} already exists`)
  await volumes.attach(tx, row.id, mounts)
  return row
}

function sizeOf({ cpu, memoryGib, diskGib }: SandboxRow) {
  return { cpu, memoryGib, diskGib }
}

/** Returns the columns that a fork has of its parent, also the time at which it is deleted. Tokens and keys are its own. */
function inherited(parent: SandboxRow) {
  const { snapshot, snapshotId, snapshotRef, buildInfo, entrypoint, volumes } = parent
  const { osUser, env, labels, public: isPublic, target, class: size, cpu, gpu, memoryGib, diskGib } = parent
  const { networkBlockAll, networkAllowList } = parent
  const { autoStopMinutes, autoArchiveMinutes, autoDeleteMinutes, autoDestroyAt } = parent
  return {
    ...{ snapshot, snapshotId, snapshotRef, buildInfo, entrypoint, volumes },
    ...{ osUser, env, labels, public: isPublic, target, class: size, cpu, gpu, memoryGib, diskGib },
    ...{ networkBlockAll, networkAllowList },
    ...{ autoStopMinutes, autoArchiveMinutes, autoDeleteMinutes, autoDestroyAt },
  } satisfies Partial<NewSandboxRow>
}
