import { AppError } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import { LRUCache } from 'lru-cache'
import type { Principal } from '../auth/principal.ts'
import type { SandboxChanges } from '../sandboxes/sandbox-changes.ts'
import type { SandboxAccess, SandboxService } from '../sandboxes/sandbox-service.ts'
import { sandboxNotFound } from '../sandboxes/sandbox-service.ts'
import type { ToolboxTunnels } from '../tunnels/tunnel-registry.ts'
import type { SandboxActivity } from './sandbox-activity.ts'

/** Sandboxes whose whereabouts are remembered; each takes about 300 bytes. */
const MAX_REMEMBERED = 10_000

/** How long a change may go unseen when no notification of it arrives. */
const REMEMBERED_TTL_MS = 30_000

export interface ToolboxServiceOptions {
  sandboxes: Pick<SandboxService, 'access'>
  changes: SandboxChanges
  tunnels: Pick<ToolboxTunnels, 'get'>
  activity: Pick<SandboxActivity, 'record'>
}

/** Decides whether a call may reach a sandbox's toolbox. */
export interface ToolboxService extends Disposable {
  /**
   * The tunnel to the toolbox, and counts as activity. Without the database once the sandbox is known. Throws
   * SANDBOX_NOT_FOUND, SANDBOX_NOT_RUNNING and TOOLBOX_UNREACHABLE.
   */
  open(caller: Principal, sandboxId: string): Promise<TunnelPeer>
}

export function createToolboxService(options: ToolboxServiceOptions): ToolboxService {
  // Lookups under way are remembered too: a change drops them, so that none leaves behind what was true before it.
  const remembered = new LRUCache<string, Promise<SandboxAccess | undefined>>({
    max: MAX_REMEMBERED,
    ttl: REMEMBERED_TTL_MS,
  })
  const unsubscribe = options.changes.subscribe((change) => {
    if (change === 'all') remembered.clear()
    else remembered.delete(change.id)
  })

  function access(sandboxId: string): Promise<SandboxAccess | undefined> {
    const hit = remembered.get(sandboxId)
    if (hit !== undefined) return hit
    const lookup = options.sandboxes.access(sandboxId)
    remembered.set(sandboxId, lookup)
    const forget = () => {
      if (remembered.peek(sandboxId) === lookup) remembered.delete(sandboxId)
    }
    // Neither a failure nor an unknown id is worth a place.
    lookup.then((found) => found ?? forget(), forget)
    return lookup
  }

  return {
    async open(caller, givenId) {
      // Ids are compared as PostgreSQL prints them.
      const sandboxId = givenId.toLowerCase()
      const found = await access(sandboxId)
      if (found?.organizationId !== caller.organizationId) throw sandboxNotFound(givenId)
      if (!found.running) throw new AppError('SANDBOX_NOT_RUNNING', 'Sandbox is not running')
      options.activity.record(sandboxId)
      const peer = options.tunnels.get(sandboxId)
      if (peer === undefined || peer.closed) {
        throw new AppError('TOOLBOX_UNREACHABLE', `The toolbox of sandbox ${sandboxId} is not connected`)
      }
      return peer
    },
    [Symbol.dispose]: unsubscribe,
  }
}
