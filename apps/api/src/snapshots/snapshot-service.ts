import { randomUUID } from 'node:crypto'
import type {
  CreateBuildInfo,
  CreateSnapshot,
  ListSnapshots,
  Snapshot,
  SnapshotCommand,
  SnapshotFromDirectory,
  SnapshotPage,
} from '@atoll/protocol'
import {
  AppError,
  DEFAULT_SNAPSHOT_CPU,
  DEFAULT_SNAPSHOT_DISK_GIB,
  DEFAULT_SNAPSHOT_GPU,
  DEFAULT_SNAPSHOT_MEMORY_GIB,
  DEFAULT_TARGET,
} from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import type { Queryable } from '../database/database.ts'
import { checkText, isStorable } from '../http/text-map.ts'
import type { Quotas } from '../organizations/quotas.ts'
import { RECONCILER, userActor } from '../reconciliation/state-events.ts'
import type { RegionService } from '../regions/region-service.ts'
import { buildRefOf, toStoredBuildInfo } from './build-ref.ts'
import { toSnapshot } from './snapshot-dto.ts'
import { checkImageName, checkSnapshotName } from './snapshot-name.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import type { NewSnapshotRow, SnapshotRow } from './snapshot-table.ts'

export interface SnapshotServiceOptions {
  store: SnapshotStore
  quotas: Pick<Quotas, 'checkSandbox' | 'checkSnapshot' | 'requireActive'>
  /** Resolves the region in which a snapshot is made. */
  regions: Pick<RegionService, 'resolve'>
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The source of a new snapshot. */
export type SnapshotOrigin =
  | { kind: 'image'; imageName: string }
  | { kind: 'build'; buildInfo: CreateBuildInfo }
  /** `requireTaker` throws when no runner of the region could take the archive. It runs before anything is written. */
  | { kind: 'archive'; requireTaker: (region: string) => Promise<unknown> }
  | { kind: 'directory'; directory: string }
  | {
      kind: 'sandbox'
      sandboxId: string
      runnerId: string
      /** Locks the sandbox and records the snapshot that is made of it; a throw rolls everything back. */
      hold: (tx: Queryable, snapshotId: string) => Promise<void>
    }

/** The name of a new snapshot, and the resources of its sandboxes in cores and GiB. */
export interface SnapshotDetails {
  name: string
  entrypoint?: string[] | undefined
  general?: boolean | undefined
  cpu?: number | undefined
  gpu?: number | undefined
  memory?: number | undefined
  disk?: number | undefined
  regionId?: string | undefined
}

/**
 * An organization's own snapshots and, to read, the general ones. Throws SNAPSHOT_UNKNOWN for a snapshot that is not
 * found.
 */
export interface SnapshotService {
  /**
   * Begins to make a snapshot. Throws SNAPSHOT_NAME_TAKEN, FORBIDDEN, the errors of the quotas, and BAD_REQUEST for
   * fields that do not fit together.
   */
  create(caller: Principal, body: CreateSnapshot): Promise<Snapshot>
  /** Begins to make a snapshot of a folder of a runner's host. The routes allow administrators only. */
  createFromDirectory(caller: Principal, body: SnapshotFromDirectory): Promise<Snapshot>
  /** Writes the row of a snapshot that is made from `origin`; the reconciler does the rest. */
  begin(caller: Principal, details: SnapshotDetails, origin: SnapshotOrigin): Promise<SnapshotRow>
  list(caller: Principal, query: ListSnapshots, scope: 'own' | 'visible'): Promise<SnapshotPage>
  get(caller: Principal, idOrName: string): Promise<Snapshot>
  find(caller: Principal, idOrName: string): Promise<SnapshotRow>
  /** Returns the snapshots with these ids, of any organization: for the code that tells their organizations. */
  readMany(ids: readonly string[]): Promise<Map<string, Snapshot>>
  /** Requests the removal of a snapshot and returns at once. Throws FORBIDDEN for a general one. */
  delete(caller: Principal, idOrName: string): Promise<void>
  setEnabled(caller: Principal, idOrName: string, enabled: boolean): Promise<Snapshot>
  /** Sets whether every organization may use a snapshot. The routes allow administrators only. */
  setGeneral(caller: Principal, idOrName: string, general: boolean): Promise<Snapshot>
  /** Throws SNAPSHOT_STATE_CONFLICT. */
  command(caller: Principal, idOrName: string, event: SnapshotCommand): Promise<Snapshot>
  /** Returns the snapshot of a build of an organization, and begins to make it when there is none. */
  ensureBuild(
    tx: Queryable,
    build: { organizationId: string; info: CreateBuildInfo; region: string },
  ): Promise<SnapshotRow>
}

export function createSnapshotService(options: SnapshotServiceOptions): SnapshotService {
  return new Snapshots(options)
}

/** Returns the same error for an unknown snapshot and for one of another organization. */
export function snapshotUnknown(idOrName: string): AppError {
  return new AppError('SNAPSHOT_UNKNOWN', `Snapshot with ID or name ${idOrName} not found`)
}

class Snapshots implements SnapshotService {
  private readonly options: SnapshotServiceOptions

  constructor(options: SnapshotServiceOptions) {
    this.options = options
  }

  async create(caller: Principal, body: CreateSnapshot): Promise<Snapshot> {
    const { imageName, buildInfo, ...details } = body
    if ((imageName === undefined || imageName === '') === (buildInfo === undefined)) {
      throw new AppError('BAD_REQUEST', 'Exactly one of imageName and buildInfo must be given')
    }
    if (buildInfo !== undefined) {
      if (details.entrypoint !== undefined && details.entrypoint.length > 0) {
        throw new AppError('BAD_REQUEST', 'Cannot specify an entrypoint with buildInfo: the Dockerfile has it')
      }
      return toSnapshot(await this.begin(caller, details, { kind: 'build', buildInfo }))
    }
    checkImageName(imageName ?? '')
    return toSnapshot(await this.begin(caller, details, { kind: 'image', imageName: imageName ?? '' }))
  }

  async createFromDirectory(caller: Principal, { directory, ...details }: SnapshotFromDirectory): Promise<Snapshot> {
    return toSnapshot(await this.begin(caller, details, { kind: 'directory', directory }))
  }

  async begin(caller: Principal, details: SnapshotDetails, origin: SnapshotOrigin): Promise<SnapshotRow> {
    const { organizationId } = caller
    checkSnapshotName(details.name)
    for (const word of details.entrypoint ?? []) checkText('entrypoint', word)
    if (details.general === true && caller.systemRole !== 'admin') {
      throw new AppError('FORBIDDEN', 'Only an administrator may make a general snapshot')
    }
    const region = await this.options.regions.resolve(details.regionId || DEFAULT_TARGET, organizationId)
    const values = this.valuesOf(organizationId, details, { origin, region })
    if (origin.kind === 'archive') await origin.requireTaker(region)
    const { store, quotas } = this.options
    const id = randomUUID()
    const row = await store.transaction(async (tx) => {
      // The sandbox is locked before the organization, in the same order as for every other action on a sandbox.
      if (origin.kind === 'sandbox') await origin.hold(tx, id)
      const nothing = { cpu: 0, memoryGib: 0, diskGib: 0, sandboxes: 0, running: 0 }
      await quotas.checkSandbox(tx, organizationId, { size: values, adds: nothing, usage: async () => nothing })
      await quotas.checkSnapshot(tx, organizationId, { sizeGib: 0, usage: () => store.usage(tx, organizationId) })
      const { maxSnapshotGib } = await quotas.requireActive(tx, organizationId)
      const inserted = await store.insert(tx, { ...values, id, maxSizeGib: maxSnapshotGib }, userActor(caller))
      if (inserted !== undefined) return inserted
      const message = `Snapshot with name "${details.name}" already exists in this organization`
      throw new AppError('SNAPSHOT_NAME_TAKEN', message)
    })
    store.emit(row)
    return row
  }

  async list(caller: Principal, query: ListSnapshots, scope: 'own' | 'visible'): Promise<SnapshotPage> {
    const { page = 1, limit = 10 } = query
    for (const text of [query.name ?? '', query.sourceSandboxId ?? '']) {
      if (!isStorable(text))
        throw new AppError('VALIDATION_FAILED', 'querystring holds a NUL or half of a surrogate pair')
    }
    const { organizationId } = caller
    const withGeneral = scope === 'visible'
    const skip = (page - 1) * limit
    const { rows, total } = await this.options.store.list({ organizationId, withGeneral, query, skip, limit })
    return { items: rows.map(toSnapshot), total, page, totalPages: Math.ceil(total / limit) }
  }

  async get(caller: Principal, idOrName: string): Promise<Snapshot> {
    return toSnapshot(await this.find(caller, idOrName))
  }

  async find(caller: Principal, idOrName: string): Promise<SnapshotRow> {
    const row = isStorable(idOrName) ? await this.options.store.find(caller.organizationId, idOrName) : undefined
    if (row === undefined) throw snapshotUnknown(idOrName)
    return row
  }

  async readMany(ids: readonly string[]): Promise<Map<string, Snapshot>> {
    const rows = await this.options.store.findMany(ids)
    return new Map(rows.map((row) => [row.id, toSnapshot(row)]))
  }

  async delete(caller: Principal, idOrName: string): Promise<void> {
    const row = await this.findToChange(caller, idOrName)
    if (row.general) throw new AppError('FORBIDDEN', 'A general snapshot cannot be deleted')
    await this.options.store.change({ id: row.id, event: 'delete', actor: userActor(caller) })
  }

  async setEnabled(caller: Principal, idOrName: string, enabled: boolean): Promise<Snapshot> {
    const { id } = await this.findToChange(caller, idOrName)
    return await this.flagged(idOrName, await this.options.store.setFlag(id, { enabled }))
  }

  async setGeneral(caller: Principal, idOrName: string, general: boolean): Promise<Snapshot> {
    const { id, kind } = await this.find(caller, idOrName)
    if (kind === 'builtin' && !general) throw new AppError('FORBIDDEN', 'The built-in snapshot is general')
    return await this.flagged(idOrName, await this.options.store.setFlag(id, { general }))
  }

  async command(caller: Principal, idOrName: string, event: SnapshotCommand): Promise<Snapshot> {
    const { id } = await this.findToChange(caller, idOrName)
    const result = await this.options.store.change({ id, event, actor: userActor(caller) })
    if (result === undefined) throw snapshotUnknown(idOrName)
    if (result.outcome.kind === 'refused') {
      throw new AppError(result.outcome.refusal.code, result.outcome.refusal.message)
    }
    return toSnapshot(result.row)
  }

  async ensureBuild(
    tx: Queryable,
    { organizationId, info, region }: { organizationId: string; info: CreateBuildInfo; region: string },
  ): Promise<SnapshotRow> {
    const { store } = this.options
    const ref = buildRefOf(organizationId, info)
    const existing = await store.findBuild(tx, organizationId, ref)
    if (existing !== undefined) return existing
    const { maxSnapshotGib } = await this.options.quotas.requireActive(tx, organizationId)
    const origin = { kind: 'build', buildInfo: info } as const
    const values = this.valuesOf(organizationId, {}, { origin, region })
    // The organization is locked, so no other create has begun the same build. The event of the sandbox names the user.
    const row = await store.insert(tx, { ...values, maxSizeGib: maxSnapshotGib }, RECONCILER)
    if (row === undefined) throw new Error('a build that nobody has begun is there already')
    return row
  }

  /**
   * Returns a snapshot that the caller may change: an own one or, for administrators, a general one of another
   * organization.
   */
  private async findToChange(caller: Principal, idOrName: string): Promise<SnapshotRow> {
    const row = await this.find(caller, idOrName)
    const isOwn = row.organizationId === caller.organizationId
    if (!isOwn && caller.systemRole !== 'admin') {
      throw new AppError('FORBIDDEN', 'A general snapshot of another organization cannot be changed')
    }
    if (row.kind === 'builtin') throw new AppError('FORBIDDEN', 'The built-in snapshot cannot be changed')
    return row
  }

  private async flagged(idOrName: string, row: SnapshotRow | undefined): Promise<Snapshot> {
    if (row === undefined) throw snapshotUnknown(idOrName)
    return toSnapshot(row)
  }

  private valuesOf(
    organizationId: string,
    details: Partial<SnapshotDetails>,
    { origin, region }: { origin: SnapshotOrigin; region: string },
  ): NewSnapshotRow & { cpu: number; memoryGib: number; diskGib: number } {
    if ((details.gpu ?? 0) > 0) throw new AppError('NO_AVAILABLE_RUNNER', 'No runner has a GPU')
    const at = new Date(this.options.now())
    const entrypoint = details.entrypoint ?? []
    return {
      ...{ organizationId, region, name: details.name ?? null },
      general: details.general ?? false,
      ...columnsOf(organizationId, origin, at),
      entrypoint: entrypoint.length === 0 ? null : entrypoint,
      cpu: details.cpu ?? DEFAULT_SNAPSHOT_CPU,
      gpu: DEFAULT_SNAPSHOT_GPU,
      memoryGib: details.memory ?? DEFAULT_SNAPSHOT_MEMORY_GIB,
      diskGib: details.disk ?? DEFAULT_SNAPSHOT_DISK_GIB,
      ...{ changedAt: at, createdAt: at, updatedAt: at },
    }
  }
}

type OriginColumns = Pick<
  NewSnapshotRow,
  'kind' | 'ref' | 'state' | 'imageName' | 'buildInfo' | 'directory' | 'sourceSandboxId' | 'runnerId'
>

function columnsOf(organizationId: string, origin: SnapshotOrigin, at: Date): OriginColumns {
  const { kind } = origin
  const own = { kind, ref: `snapshot-${randomUUID()}`, state: 'pending' as const }
  switch (kind) {
    case 'image':
      return { ...own, imageName: origin.imageName }
    case 'build': {
      const { buildInfo: info } = origin
      checkText('buildInfo.dockerfileContent', info.dockerfileContent)
      const ref = buildRefOf(organizationId, info)
      return { kind, ref, state: 'build_pending', buildInfo: toStoredBuildInfo(info, at) }
    }
    case 'archive':
      return own
    case 'directory':
      return { ...own, directory: origin.directory }
    case 'sandbox':
      return { ...own, state: 'snapshotting', sourceSandboxId: origin.sandboxId, runnerId: origin.runnerId }
  }
}
