import type { SandboxState } from '@atoll/protocol'
import { shownState } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { ToolboxLink, TunnelRegistry } from '../../tunnels/tunnel-registry.ts'
import type { SandboxChanges } from '../sandbox-changes.ts'
import type { SandboxStore } from '../sandbox-store.ts'

/** The rows that one query reads. */
const BATCH_SIZE = 500

export interface ToolboxGuardOptions {
  tunnels: Pick<TunnelRegistry, 'connected' | 'disconnectToken'>
  store: Pick<SandboxStore, 'findMany'>
  changes: Pick<SandboxChanges, 'subscribe'>
  log: Logger
}

/**
 * Ends the links of toolboxes whose token is no longer their sandbox's: toolboxes on a lost runner, of sandboxes that are
 * elsewhere by now (L6). A runner that can be reached ends them itself.
 */
export interface ToolboxGuard extends AsyncDisposable {
  /** The number of changes heard of that may end a link. */
  readonly changesHeard: number
  /** Checks the link of a sandbox that connected while such a change was heard of. */
  check(sandboxId: string): void
}

/** The states after a runner's loss in which a connected toolbox may have another token than the row. */
const UNSURE: ReadonlySet<SandboxState> = new Set(['creating', 'restoring', 'archived', 'error', 'destroyed'])

/** Watches from this call until it is disposed. */
export function createToolboxGuard({ tunnels, store, changes, log }: ToolboxGuardOptions): ToolboxGuard {
  const running = new Set<Promise<void>>()
  let changesHeard = 0

  async function check(links: readonly ToolboxLink[]): Promise<void> {
    for (let from = 0; from < links.length; from += BATCH_SIZE) {
      const some = links.slice(from, from + BATCH_SIZE)
      const rows = await store.findMany(some.map(({ sandboxId }) => sandboxId))
      const hashes = new Map(rows.map((row) => [row.id, row.toolboxTokenHash]))
      for (const link of some) {
        if (hashes.get(link.sandboxId) !== link.tokenHash) tunnels.disconnectToken(link, 'its token is no longer valid')
      }
    }
  }

  function begin(links: readonly ToolboxLink[]): void {
    if (links.length === 0) return
    const checking = check(links)
      .catch((error: unknown) => log.error({ err: error }, 'links of toolboxes could not be checked'))
      .finally(() => running.delete(checking))
    running.add(checking)
  }

  const unsubscribe = changes.subscribe((change) => {
    if (change !== 'all' && !UNSURE.has(shownState(change))) return
    changesHeard += 1
    begin(tunnels.connected(change === 'all' ? undefined : change.id))
  })

  return {
    get changesHeard() {
      return changesHeard
    },
    check: (sandboxId) => begin(tunnels.connected(sandboxId)),
    async [Symbol.asyncDispose]() {
      unsubscribe()
      await Promise.all(running)
    },
  }
}
