import type { StoredSnapshotState } from '@atoll/protocol'
import {
  SNAPSHOT_BUILD_LIMIT_MS,
  SNAPSHOT_PULL_LIMIT_MS,
  SNAPSHOT_VALIDATION_LIMIT_MS,
  snapshotSteps,
  storedSnapshotStates,
} from '@atoll/protocol'

/** The states in which a snapshot is being made. */
export const SNAPSHOT_UNDER_WAY = storedSnapshotStates.filter((state) => snapshotSteps[state] !== 'none')

/**
 * Returns how long a state under way may stand, in milliseconds. The runner has the same bounds for its work in that
 * state.
 */
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

/** Returns the error reason of a snapshot that stood in `state` for too long. */
export function tooLong(state: StoredSnapshotState): string {
  return `It took longer than ${limitOf(state) / 60_000} minutes`
}
