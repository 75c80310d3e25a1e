import type { NetworkRules, SandboxSpec } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

/** Processes of a sandbox, at most. */
export const PIDS_LIMIT = 4096

/** What a runner is told to make. */
export function specOf(row: SandboxRow): SandboxSpec {
  return {
    snapshot: row.snapshotRef ?? row.snapshot,
    user: row.osUser,
    limits: { cpu: row.cpu, memoryGiB: row.memoryGib, diskGiB: row.diskGib, pids: PIDS_LIMIT },
    // What is blocked can be let through later, which `none` could not.
    network: 'nat',
    ...(row.volumes.length === 0 ? {} : { volumes: row.volumes }),
    ...(row.entrypoint === null ? {} : { entrypoint: row.entrypoint }),
    ...(row.networkBlockAll || row.networkAllowList !== null ? { networkRules: networkRulesOf(row) } : {}),
  }
}

/** The same for one that has no files yet: a fork begins with its parent's, and is restored with its own. */
export function newSpecOf(row: SandboxRow): SandboxSpec {
  return { ...specOf(row), ...(row.forkedFromId === null ? {} : { forkOf: row.forkedFromId }) }
}

export function networkRulesOf({ networkBlockAll, networkAllowList }: SandboxRow): NetworkRules {
  const blocks = networkAllowList === null ? {} : { allowList: networkAllowList.split(',') }
  return { blockAll: networkBlockAll, ...blocks }
}
