import { randomUUID } from 'node:crypto'
import type { CreateVolume, SandboxVolume, Volume } from '@atoll/protocol'
import { AppError, MAX_SANDBOX_VOLUMES } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import type { Queryable } from '../database/database.ts'
import { isUuid } from '../database/uuid.ts'
import { checkText, isStorable } from '../http/text-map.ts'
import type { Quotas } from '../organizations/quotas.ts'
import { userActor } from '../reconciliation/state-events.ts'
import { checkMounts } from './mount-path.ts'
import type { Mount, VolumeStore } from './volume-store.ts'
import type { VolumeRow } from './volume-table.ts'

export interface VolumeServiceOptions {
  store: VolumeStore
  quotas: Pick<Quotas, 'checkVolume'>
}

/** The mounts that a sandbox shall have, and the runner that has their volumes. */
export interface PlannedMounts {
  mounts: Mount[]
  /** Undefined when there are no mounts. */
  runnerId: string | undefined
}

/** An organization's volumes. Throws VOLUME_NOT_FOUND for an unknown volume and for one of another organization. */
export interface VolumeService {
  /** Begins to make a volume. Throws VOLUME_NAME_TAKEN and the errors of the quotas. */
  create(caller: Principal, body: CreateVolume): Promise<Volume>
  list(caller: Principal, includeDeleted: boolean): Promise<Volume[]>
  get(caller: Principal, idOrName: string): Promise<Volume>
  getByName(caller: Principal, name: string): Promise<Volume>
  /** Returns the volumes with these ids, of any organization: for the code that tells their organizations. */
  readMany(ids: readonly string[]): Promise<Map<string, Volume>>
  /** Requests the deletion of a volume. Throws VOLUME_IN_USE while a sandbox has it, and VOLUME_STATE_CONFLICT. */
  delete(caller: Principal, idOrName: string): Promise<void>
  /**
   * Returns the mounts that `asked` means, with the volumes locked until `tx` ends. Throws BAD_REQUEST for too many
   * volumes, for one that is unknown or not ready, for paths where nothing can be mounted, and for volumes of different
   * runners.
   */
  planMounts(tx: Queryable, organizationId: string, asked: readonly SandboxVolume[]): Promise<PlannedMounts>
  /** Returns the runner that has one of these volumes. */
  runnerOf(tx: Queryable, ids: readonly string[]): Promise<string | undefined>
  /** Records the mounts of a new sandbox. */
  attach(tx: Queryable, sandboxId: string, mounts: readonly Mount[]): Promise<void>
}

export function createVolumeService({ store, quotas }: VolumeServiceOptions): VolumeService {
  async function find({ organizationId }: Principal, idOrName: string): Promise<VolumeRow> {
    const byId = isUuid(idOrName) ? await store.findById(organizationId, idOrName) : undefined
    const row = byId ?? (isStorable(idOrName) ? await store.findByName(organizationId, idOrName) : undefined)
    if (row === undefined) throw new AppError('VOLUME_NOT_FOUND', `Volume with ID ${idOrName} not found`)
    return row
  }

  return {
    async create(caller, { name: asked }) {
      const { organizationId } = caller
      const id = randomUUID()
      const name = asked === '' ? id : asked
      checkText('name', name)
      const row = await store.transaction(async (tx) => {
        await quotas.checkVolume(tx, organizationId, () => store.count(tx, organizationId))
        return await store.insert(tx, { id, organizationId, name }, userActor(caller))
      })
      if (row === undefined) throw new AppError('VOLUME_NAME_TAKEN', `Volume with name ${name} already exists`)
      store.emit(row)
      return toVolume(row)
    },
    async list({ organizationId }, includeDeleted) {
      return (await store.list(organizationId, includeDeleted)).map(toVolume)
    },
    async get(caller, idOrName) {
      return toVolume(await find(caller, idOrName))
    },
    async getByName({ organizationId }, name) {
      const row = isStorable(name) ? await store.findByName(organizationId, name) : undefined
      // SDKs make the volume when they read exactly this message.
      if (row === undefined) throw new AppError('VOLUME_NOT_FOUND', `Volume with name ${name} not found`)
      return toVolume(row)
    },
    async readMany(ids) {
      return new Map((await store.findMany(ids)).map((row) => [row.id, toVolume(row)]))
    },
    async delete(caller, idOrName) {
      const { id } = await find(caller, idOrName)
      const before = async (tx: Queryable) => {
        const users = await store.countUsers(tx, id)
        if (users > 0) throw new AppError('VOLUME_IN_USE', `Volume is used by ${users} sandboxes`)
      }
      const { organizationId } = caller
      const actor = userActor(caller)
      const result = await store.change({ id, event: 'delete', actor, organizationId, before })
      if (result?.outcome.kind === 'refused') {
        throw new AppError(result.outcome.refusal.code, result.outcome.refusal.message)
      }
    },
    async planMounts(tx, organizationId, asked) {
      if (asked.length > MAX_SANDBOX_VOLUMES) throw refused(`At most ${MAX_SANDBOX_VOLUMES} volumes can be mounted`)
      for (const { volumeId } of asked) checkText('volumes', volumeId)
      checkMounts(asked)
      const rows = await store.lockMany(
        tx,
        organizationId,
        asked.map(({ volumeId }) => volumeId),
      )
      const mounts = asked.map(({ volumeId, mountPath, subpath }) => {
        const row = rows.find(({ id }) => id === volumeId.toLowerCase()) ?? rows.find(({ name }) => name === volumeId)
        if (row === undefined) throw refused(`Volume ${volumeId} not found`)
        if (row.state !== 'ready') throw refused(`Volume ${volumeId} is ${row.state}`)
        return { row, mount: { volumeId: row.id, mountPath, ...(subpath ? { subpath } : {}) } }
      })
      const runnerIds = new Set(mounts.flatMap(({ row }) => row.runnerId ?? []))
      if (runnerIds.size > 1) throw refused('The volumes are on different runners, so no sandbox can have them all')
      return { mounts: mounts.map(({ mount }) => mount), runnerId: [...runnerIds][0] }
    },
    runnerOf: (tx, ids) => store.runnerOf(tx, ids),
    attach: (tx, sandboxId, mounts) => store.attach(tx, sandboxId, mounts),
  }
}

/** Returns a row as clients see it (§10). */
function toVolume(row: VolumeRow): Volume {
  return {
    id: row.id,
    name: row.name,
    organizationId: row.organizationId,
    state: row.state,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    errorReason: row.errorReason,
  }
}

function refused(message: string): AppError {
  return new AppError('BAD_REQUEST', message)
}
