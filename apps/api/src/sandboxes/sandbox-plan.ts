import type { CreateBuildInfo, CreateSandbox, CreateWorkspace, SandboxVolume } from '@atoll/protocol'
import {
  AppError,
  DEFAULT_AUTO_ARCHIVE_MINUTES,
  DEFAULT_AUTO_DELETE_MINUTES,
  DEFAULT_AUTO_STOP_MINUTES,
  DEFAULT_SANDBOX_USER,
  DEFAULT_SNAPSHOT,
  MAX_AUTO_ARCHIVE_MINUTES,
} from '@atoll/protocol'
import { checkEnv, checkLabels, checkText } from '../http/text-map.ts'
import { checkSandboxName } from './sandbox-name.ts'
import type { NewSandboxRow } from './sandbox-table.ts'
import { planNetwork } from './settings/network-settings.ts'

/** The size of a plan, in cores and GiB, until the snapshot is known, which gives the real one (`sizeOf`). */
export const SNAPSHOT_CPU = 1
export const SNAPSHOT_GPU = 0
export const SNAPSHOT_MEMORY_GIB = 1
export const SNAPSHOT_DISK_GIB = 3

/** A request to create a sandbox with every default filled in; its runner is picked afterwards. */
export type SandboxPlan = Omit<
  NewSandboxRow,
  | 'id'
  | 'organizationId'
  | 'runnerId'
  | 'target'
  | 'state'
  | 'desiredState'
  | 'changedAt'
  | 'lastActivityAt'
  | 'createdAt'
  | 'updatedAt'
> & {
  /** The region; undefined for the organization's default. */
  target: string | undefined
  /** The minutes until it is deleted; 0: never. */
  ttlMinutes: number
  /** The requests that are settled once the snapshot is known. */
  asked: {
    /** The size in place of the snapshot's; 0 asks for none. */
    size: { cpu?: number | undefined; memoryGib?: number | undefined; diskGib?: number | undefined }
    /** The build in place of a snapshot. */
    buildInfo?: CreateBuildInfo | undefined
    volumes: readonly SandboxVolume[]
  }
}

/** A body whose absent amounts may be written as undefined. */
type Asked = Omit<CreateSandbox, 'cpu' | 'memory' | 'disk'> &
  Partial<Record<'cpu' | 'memory' | 'disk', number | undefined>>

/** Applies the contract's rules of creation (§7), in its order, as far as they need no database. Throws AppError. */
export function planSandbox(body: CreateSandbox): SandboxPlan {
  refuseWhatCannotBe(body)
  const resources = [body.cpu, body.gpu, body.memory, body.disk]
  if (body.buildInfo === undefined && resources.some((amount) => amount !== undefined)) {
    throw new AppError('BAD_REQUEST', 'Cannot specify Sandbox resources when using a snapshot')
  }
  refuseGpu(body.gpu)
  return fillIn(body)
}

/** Does the same for the workspace generation (§8), whose image is a snapshot and whose resources may be chosen. */
export function planWorkspace(body: CreateWorkspace): SandboxPlan {
  const { image, cpu, memory, disk, ...common } = body
  refuseWhatCannotBe({ ...common, snapshot: image })
  refuseGpu(common.gpu)
  return fillIn({ ...common, ...{ cpu, memory, disk }, ...(image === undefined ? {} : { snapshot: image }) })
}

function refuseGpu(gpu: number | undefined): void {
  if (gpu !== undefined && gpu > 0) throw new AppError('NO_AVAILABLE_RUNNER', 'No runner has a GPU')
}

function fillIn(body: Asked): SandboxPlan {
  const { env = {}, labels = {} } = body
  checkEnv(env)
  checkLabels(labels)
  const snapshot = body.snapshot || DEFAULT_SNAPSHOT
  const target = body.target || undefined
  checkText('snapshot', snapshot)
  if (target !== undefined) checkText('target', target)
  return {
    name: checkSandboxName(body.name),
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
    ttlMinutes: body.ttlMinutes ?? 0,
    asked: {
      size: { cpu: body.cpu, memoryGib: body.memory, diskGib: body.disk },
      buildInfo: body.buildInfo,
      volumes: body.volumes ?? [],
    },
    ...planNetwork(body),
    autoStopMinutes: body.autoStopInterval ?? DEFAULT_AUTO_STOP_MINUTES,
    autoArchiveMinutes: archiveMinutes(body.autoArchiveInterval ?? DEFAULT_AUTO_ARCHIVE_MINUTES),
    autoDeleteMinutes: body.autoDeleteInterval ?? DEFAULT_AUTO_DELETE_MINUTES,
  }
}

function refuseWhatCannotBe(body: { snapshot?: string | undefined; buildInfo?: CreateBuildInfo | undefined }): void {
  if (body.buildInfo !== undefined && body.snapshot) {
    throw new AppError('BAD_REQUEST', 'Cannot specify both a snapshot and buildInfo')
  }
}

/** Returns the interval to store: 0 means the longest interval, and a longer one is cut to it. */
export function archiveMinutes(minutes: number): number {
  return minutes === 0 ? MAX_AUTO_ARCHIVE_MINUTES : Math.min(minutes, MAX_AUTO_ARCHIVE_MINUTES)
}
