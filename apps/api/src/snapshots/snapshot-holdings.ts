import type { Logger } from '@atoll/service'
import type { HoldingsObserver } from '../runners/runner-session.ts'
import type { SnapshotRunnerStore } from './snapshot-runner-store.ts'
import type { SnapshotWatch } from './snapshot-watch.ts'

export interface SnapshotHoldingsOptions {
  store: Pick<SnapshotRunnerStore, 'compare'>
  watch: SnapshotWatch
  log: Logger
}

/** Records the snapshots of a runner when it connects, and wakes waiters when it reports a change. */
export function createSnapshotHoldings({ store, watch, log }: SnapshotHoldingsOptions): HoldingsObserver {
  return {
    async compareSnapshots(runner, snapshots) {
      const usable = snapshots.filter(({ state }) => state === 'active').map(({ ref }) => ref)
      for (const ref of await store.compare(runner.id, usable)) {
        // The runner itself refuses to remove a snapshot that one of its sandboxes still needs.
        await runner.client.snapshots.remove(ref).catch((error: unknown) => {
          log.info({ err: error, ref, runner: runner.name }, 'a deleted snapshot stays on its runner for now')
        })
      }
    },
    async snapshotChanged(runner, { ref }) {
      watch.ring(runner.id, ref)
    },
  }
}
