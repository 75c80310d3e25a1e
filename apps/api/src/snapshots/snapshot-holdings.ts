import type { Logger } from '@atoll/service'
import type { HoldingsObserver } from '../runners/runner-session.ts'
import type { SnapshotRunnerStore } from './snapshot-runner-store.ts'
import type { SnapshotWatch } from './snapshot-watch.ts'

export interface SnapshotHoldingsOptions {
  store: Pick<SnapshotRunnerStore, 'compare'>
  watch: SnapshotWatch
  log: Logger
}

/** Keeps in the database which runners have what, as they come and tell. */
export function createSnapshotHoldings({ store, watch, log }: SnapshotHoldingsOptions): HoldingsObserver {
  return {
    async compareSnapshots(runner, snapshots) {
      const usable = snapshots.filter(({ state }) => state === 'active').map(({ ref }) => ref)
      for (const ref of await store.compare(runner.id, usable)) {
        // What a sandbox of the runner still needs stays: the runner says so itself.
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
