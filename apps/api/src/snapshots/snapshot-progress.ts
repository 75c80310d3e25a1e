import type { RunnerSnapshot, SnapshotReport } from '@atoll/protocol'
import { snapshotTransition } from '@atoll/protocol'
import type { SnapshotRow } from './snapshot-table.ts'

/** The reports of a snapshot that its runner has pulled or built and now validates, in their order. */
const pulled: readonly SnapshotReport[] = ['pull_begun', 'pulled', 'validation_begun']
const built: readonly SnapshotReport[] = ['build_begun', 'built', ...pulled]

/**
 * Returns the next report for a row whose runner has the snapshot in `state`; undefined while there is none. A runner
 * may be several states ahead: then the caller asks again with the row as it is after the report.
 */
export function nextReport(
  row: Pick<SnapshotRow, 'state' | 'kind'>,
  state: RunnerSnapshot['state'],
): SnapshotReport | undefined {
  return reportsUntil(row.kind, state).find((report) => snapshotTransition(row.state, report).kind === 'changed')
}

function reportsUntil(kind: SnapshotRow['kind'], state: RunnerSnapshot['state']): readonly SnapshotReport[] {
  switch (state) {
    case 'pending':
      return []
    case 'pulling':
      return kind === 'build' ? ['build_begun'] : ['pull_begun']
    case 'building':
      return ['build_begun']
    case 'validating':
      return kind === 'build' ? built : pulled
    case 'active':
      return [...built, 'validated', 'captured']
    case 'error':
      return ['failed']
  }
}
