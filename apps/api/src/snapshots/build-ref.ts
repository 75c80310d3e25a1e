import { createHash } from 'node:crypto'
import type { CreateBuildInfo } from '@atoll/protocol'
import type { StoredBuildInfo } from './snapshot-table.ts'

/** Returns the contract's id of a build, the same for equal content (§9). */
export function buildIdOf({ dockerfileContent, contextHashes = [] }: CreateBuildInfo): string {
  const hash = createHash('sha256').update(dockerfileContent + [...contextHashes].sort().join(''))
  return `daytona-${hash.digest('hex')}:daytona`
}

/**
 * Returns the ref of an organization's build. Organizations do not share one, because what a Dockerfile names may be
 * readable to some organizations only.
 */
export function buildRefOf(organizationId: string, info: CreateBuildInfo): string {
  return `build-${createHash('sha256')
    .update(`${organizationId}\n${buildIdOf(info)}`)
    .digest('hex')}`
}

export function toStoredBuildInfo(info: CreateBuildInfo, at: Date): StoredBuildInfo {
  const time = at.toISOString()
  const { dockerfileContent, contextHashes = [] } = info
  return { dockerfileContent, contextHashes, createdAt: time, updatedAt: time, snapshotRef: buildIdOf(info) }
}
