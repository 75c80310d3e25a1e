import type { Image, ImageState, Snapshot } from '@atoll/protocol'
import type { SnapshotRow } from './snapshot-table.ts'

/** A row as clients see it (§9). */
export function toSnapshot(row: SnapshotRow): Snapshot {
  return {
    id: row.id,
    ...(row.organizationId === null ? {} : { organizationId: row.organizationId }),
    general: row.general,
    name: row.name ?? row.id,
    ...(row.imageName === null ? {} : { imageName: row.imageName }),
    enabled: row.enabled,
    // A removed one is found by nobody; this is what it was last.
    state: row.state === 'removed' ? 'removing' : row.state,
    size: row.sizeGib,
    entrypoint: row.entrypoint,
    cpu: row.cpu,
    gpu: row.gpu,
    mem: row.memoryGib,
    disk: row.diskGib,
    errorReason: row.errorReason,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    ...(row.buildInfo === null ? {} : { buildInfo: row.buildInfo }),
    ref: row.ref,
    ...(row.runnerId === null ? {} : { initialRunnerId: row.runnerId }),
    sourceSandboxId: row.sourceSandboxId,
    sandboxClass: 'container',
  }
}

/** What the older names have no word for shows as what is nearest. */
const imageStates: Readonly<Record<Snapshot['state'], ImageState>> = {
  build_pending: 'build_pending',
  building: 'building',
  pending: 'pending',
  pulling: 'pulling_image',
  snapshotting: 'pending',
  pending_validation: 'pending_validation',
  validating: 'validating',
  active: 'active',
  inactive: 'active',
  error: 'error',
  build_failed: 'error',
  removing: 'removing',
}

/** A snapshot as the workspace generation sees it; an inactive one is one that is not enabled. */
export function toImage(snapshot: Snapshot): Image {
  const { id, organizationId, general, name, size, entrypoint, errorReason } = snapshot
  const { createdAt, updatedAt, lastUsedAt } = snapshot
  return {
    ...{ id, general, name, size, entrypoint, errorReason, createdAt, updatedAt, lastUsedAt },
    ...(organizationId === undefined ? {} : { organizationId }),
    enabled: snapshot.enabled && snapshot.state !== 'inactive',
    state: imageStates[snapshot.state],
  }
}
