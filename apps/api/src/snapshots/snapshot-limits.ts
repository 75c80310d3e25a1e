import type { StoredSnapshotState } from '@atoll/protocol'
import { SNAPSHOT_BUILD_LIMIT_MS, SNAPSHOT_PULL_LIMIT_MS, SNAPSHOT_VALIDATION_LIMIT_MS } from '@atoll/protocol'

/** How long a state under way may stand, in milliseconds. The runner has the same bounds for what it does in them. */
export function limitOf(state: StoredSnapshotState): number {
  switch (state) {
    case 'build_pending':
    case 'building':
      return SNAPSHOT_BUILD_LIMIT_MS
    case 'pending_validation':
    case 'validating':
      return SNAPSHOT_VALIDATION_LIMIT_MS
    default:
      return SNAPSHOT_PULL_LIMIT_MS
  }
}

/** Why a snapshot is given up that stood in `state`. */
export function tooLong(state: StoredSnapshotState): string {
  return `It took longer than ${limitOf(state) / 60_000} minutes`
}
