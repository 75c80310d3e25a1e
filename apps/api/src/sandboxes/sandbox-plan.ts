import type { CreateSandbox } from '@atoll/protocol'
import {
  AppError,
  DEFAULT_AUTO_ARCHIVE_MINUTES,
  DEFAULT_AUTO_DELETE_MINUTES,
  DEFAULT_AUTO_STOP_MINUTES,
  DEFAULT_SANDBOX_USER,
  DEFAULT_SNAPSHOT,
  DEFAULT_TARGET,
  MAX_AUTO_ARCHIVE_MINUTES,
} from '@atoll/protocol'
import type { NewSandboxRow } from './sandbox-table.ts'
import { checkEnv, checkLabels, checkText } from './text-map.ts'

/** What a sandbox made from a snapshot of ours has: cores and GiB. */
export const SNAPSHOT_CPU = 1
export const SNAPSHOT_GPU = 0
export const SNAPSHOT_MEMORY_GIB = 1
export const SNAPSHOT_DISK_GIB = 3

/** What a body asks for, with every default filled in; where it goes is decided afterwards. */
export type SandboxPlan = Omit<
  NewSandboxRow,
  | 'id'
  | 'organizationId'
  | 'runnerId'
  | 'state'
  | 'desiredState'
  | 'changedAt'
  | 'lastActivityAt'
  | 'createdAt'
  | 'updatedAt'
>

/** Applies the contract's rules of creation (§7), in its order, as far as they need no database. Throws AppError. */
export function planSandbox(body: CreateSandbox): SandboxPlan {
  refuseWhatCannotBe(body)
  const { env = {}, labels = {} } = body
  checkEnv(env)
  checkLabels(labels)
  const snapshot = body.snapshot || DEFAULT_SNAPSHOT
  const target = body.target || DEFAULT_TARGET
  checkText('snapshot', snapshot)
  checkText('target', target)
  return {
    snapshot,
    target,
    env,
    labels,
    osUser: body.user ?? DEFAULT_SANDBOX_USER,
    public: body.public ?? false,
    class: body.class ?? 'small',
    cpu: SNAPSHOT_CPU,
    gpu: SNAPSHOT_GPU,
    memoryGib: SNAPSHOT_MEMORY_GIB,
    diskGib: SNAPSHOT_DISK_GIB,
    networkBlockAll: body.networkBlockAll ?? false,
    autoStopMinutes: body.autoStopInterval ?? DEFAULT_AUTO_STOP_MINUTES,
    autoArchiveMinutes: archiveMinutes(body.autoArchiveInterval ?? DEFAULT_AUTO_ARCHIVE_MINUTES),
    autoDeleteMinutes: body.autoDeleteInterval ?? DEFAULT_AUTO_DELETE_MINUTES,
  }
}

function refuseWhatCannotBe(body: CreateSandbox): void {
  if (body.buildInfo !== undefined && body.snapshot) {
    throw new AppError('BAD_REQUEST', 'Cannot specify both a snapshot and buildInfo')
  }
  const resources = [body.cpu, body.gpu, body.memory, body.disk]
  if (body.buildInfo === undefined && resources.some((amount) => amount !== undefined)) {
    throw new AppError('BAD_REQUEST', 'Cannot specify Sandbox resources when using a snapshot')
  }
  if (body.buildInfo !== undefined) throw new AppError('BAD_REQUEST', 'buildInfo is not supported yet')
  if (body.volumes !== undefined && body.volumes.length > 0) {
    throw new AppError('BAD_REQUEST', 'volumes are not supported yet')
  }
}

/** 0 means the longest interval, and a longer one is cut to it. */
function archiveMinutes(minutes: number): number {
  return minutes === 0 ? MAX_AUTO_ARCHIVE_MINUTES : Math.min(minutes, MAX_AUTO_ARCHIVE_MINUTES)
}
