import type { NetworkRules, SandboxSpec } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

/** The most processes of a sandbox. */
export const PIDS_LIMIT = 4096

/** Returns the spec that a runner makes a sandbox from. */
export function specOf(row: SandboxRow): SandboxSpec {
  return {
    snapshot: row.snapshotRef ?? row.snapshot,
    user: row.osUser,
    limits: { cpu: row.cpu, memoryGiB: row.memoryGib, diskGiB: row.diskGib, pids: PIDS_LIMIT },
    // With `nat`, blocked traffic can be allowed later, which `none` does not permit.
    network: 'nat',
    ...(row.volumes.length === 0 ? {} : { volumes: row.volumes }),
    ...(row.entrypoint === null ? {} : { entrypoint: row.entrypoint }),
    ...(row.networkBlockAll || row.networkAllowList !== null ? { networkRules: networkRulesOf(row) } : {}),
  }
}

/** Returns the spec of a sandbox without files: a fork begins with its parent's. A restored fork has its own files: `specOf`. */
export function newSpecOf(row: SandboxRow): SandboxSpec {
  return { ...specOf(row), ...(row.forkedFromId === null ? {} : { forkOf: row.forkedFromId }) }
}

export function networkRulesOf({ networkBlockAll, networkAllowList }: SandboxRow): NetworkRules {
  const blocks = networkAllowList === null ? {} : { allowList: networkAllowList.split(',') }
  return { blockAll: networkBlockAll, ...blocks }
}
