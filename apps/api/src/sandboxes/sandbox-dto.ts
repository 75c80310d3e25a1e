import type { Sandbox } from '@atoll/protocol'
import { shownState } from '@atoll/protocol'
import { ownerOf } from './owner-of.ts'
import type { SandboxRow } from './sandbox-table.ts'
import { shownStateOf } from './shown-state-of.ts'

/** A sandbox without the URL that depends on the address of the request. */
export type SandboxFacts = Omit<Sandbox, 'toolboxProxyUrl'>

/** Returns a row as clients see it (§6): with the derived state, and without the keys of absent optional fields. */
export function toFacts(row: SandboxRow): SandboxFacts {
  return {
    id: row.id,
    organizationId: ownerOf(row),
    name: row.name ?? row.id,
    ...(row.buildInfo === null ? { snapshot: row.snapshot } : { buildInfo: row.buildInfo }),
    ...(row.volumes.length === 0 ? {} : { volumes: row.volumes }),
    user: row.osUser,
    env: row.env,
    labels: row.labels,
    public: row.public,
    target: row.target,
    cpu: row.cpu,
    gpu: row.gpu,
    memory: row.memoryGib,
    disk: row.diskGib,
    state: shownStateOf(row),
    desiredState: row.desiredState,
    ...errorReason(row),
    recoverable: row.recoverableTo !== null,
    backupState: row.backupState,
    ...(row.backupCreatedAt === null ? {} : { backupCreatedAt: row.backupCreatedAt.toISOString() }),
    autoStopInterval: row.autoStopMinutes,
    autoArchiveInterval: row.autoArchiveMinutes,
    autoDeleteInterval: row.autoDeleteMinutes,
    ...(row.autoDestroyAt === null ? {} : { autoDestroyAt: row.autoDestroyAt.toISOString() }),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    lastActivityAt: row.lastActivityAt.toISOString(),
    class: row.class,
    sandboxClass: 'container',
    networkBlockAll: row.networkBlockAll,
    ...(row.networkAllowList === null ? {} : { networkAllowList: row.networkAllowList }),
    ...(row.runnerId === null ? {} : { runnerId: row.runnerId }),
  }
}

function errorReason(row: SandboxRow): Pick<SandboxFacts, 'errorReason'> {
  if (isLost(row)) return { errorReason: lossReason(row) }
  return row.errorReason === null ? {} : { errorReason: row.errorReason }
}

function isLost(row: SandboxRow): boolean {
  return shownState(row) === 'unknown'
}

/** Returns a reason that says what recovering the sandbox would lose. */
function lossReason({ recoverableTo, backupCreatedAt }: SandboxRow): string {
  if (recoverableTo === null || backupCreatedAt === null) {
    return 'Its runner is lost, or has its files no more, and there is no backup of them'
  }
  const since = backupCreatedAt.toISOString()
  const what = 'Its runner is lost, or has its files no more'
  return `${what}. Recovering it brings back the files of its backup of ${since}; what changed since is lost`
}
