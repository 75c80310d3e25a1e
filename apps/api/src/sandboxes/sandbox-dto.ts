import type { Sandbox } from '@atoll/protocol'
import { shownState } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

/** A row as clients see it (§6): with the derived state, and absent optionals as missing keys. */
export function toSandbox(row: SandboxRow): Sandbox {
  return {
    id: row.id,
    organizationId: row.organizationId,
    snapshot: row.snapshot,
    user: row.osUser,
    env: row.env,
    labels: row.labels,
    public: row.public,
    target: row.target,
    cpu: row.cpu,
    gpu: row.gpu,
    memory: row.memoryGib,
    disk: row.diskGib,
    state: shownState(row),
    desiredState: row.desiredState,
    ...(row.errorReason === null ? {} : { errorReason: row.errorReason }),
    autoStopInterval: row.autoStopMinutes,
    autoArchiveInterval: row.autoArchiveMinutes,
    autoDeleteInterval: row.autoDeleteMinutes,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    class: row.class,
    networkBlockAll: row.networkBlockAll,
  }
}
