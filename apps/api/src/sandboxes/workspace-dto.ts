import type { Sandbox, Workspace } from '@atoll/protocol'

/** Returns a sandbox as the workspace generation sees it (§8). */
export function toWorkspace(sandbox: Sandbox): Workspace {
  const { state, ...rest } = sandbox
  const { name, snapshot, createdAt, backupState, backupCreatedAt } = rest
  return {
    ...rest,
    ...(state === undefined ? {} : { state: workspaceState(state) }),
    ...(backupState === undefined ? {} : { snapshotState: backupState }),
    ...(backupCreatedAt === undefined ? {} : { snapshotCreatedAt: backupCreatedAt }),
    ...(snapshot === undefined ? {} : { image: snapshot }),
    ...(createdAt === undefined
      ? {}
      : { info: { name, created: createdAt, providerMetadata: JSON.stringify(providerMetadata(sandbox)) } }),
  }
}

/** Returns the fields that clients of that generation read from `providerMetadata`, a JSON text. */
function providerMetadata(sandbox: Sandbox) {
  const { state, target, updatedAt, cpu, gpu, memory, disk } = sandbox
  const { autoStopInterval, autoArchiveInterval, backupCreatedAt } = sandbox
  return {
    ...{ state: state && workspaceState(state), region: target, class: sandbox.class, updatedAt },
    ...{ cpu, gpu, memory, disk, autoStopInterval, autoArchiveInterval },
    ...(backupCreatedAt === undefined ? {} : { lastSnapshot: backupCreatedAt }),
  }
}

/** Returns a state by its older name, where it has one. A final state must be a known one, else clients wait for ever. */
function workspaceState(state: NonNullable<Sandbox['state']>): NonNullable<Workspace['state']> {
  switch (state) {
    case 'building_snapshot':
      return 'building_image'
    case 'pulling_snapshot':
      return 'pulling_image'
    case 'build_failed':
      return 'error'
    default:
      return state
  }
}
