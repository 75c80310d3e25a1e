import type { Image, ImageState, Snapshot } from '@atoll/protocol'
import type { SnapshotRow } from './snapshot-table.ts'

/** Returns a row as clients see it (§9). */
export function toSnapshot(row: SnapshotRow): Snapshot {
  return {
    id: row.id,
    ...(row.organizationId === null ? {} : { organizationId: row.organizationId }),
    general: row.general,
    name: row.name ?? row.id,
    ...(row.imageName === null ? {} : { imageName: row.imageName }),
    enabled: row.enabled,
    // No client finds a removed snapshot; this is the last state that clients saw.
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

/** The states of images, by those of snapshots. A state that images lack shows as the nearest one. */
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

/** Returns a snapshot as the workspace generation sees it, where an inactive one is not enabled. */
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
