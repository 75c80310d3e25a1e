import { AppError } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import { LRUCache } from 'lru-cache'
import type { Principal } from '../auth/principal.ts'
import { isUuid } from '../database/uuid.ts'
import type { SandboxAccess } from '../sandboxes/sandbox-access.ts'
import { accessOf } from '../sandboxes/sandbox-access.ts'
import type { SandboxChanges } from '../sandboxes/sandbox-changes.ts'
import { sandboxNotFound } from '../sandboxes/sandbox-commands.ts'
import type { SandboxService } from '../sandboxes/sandbox-service.ts'
import type { ToolboxTunnels } from '../tunnels/tunnel-registry.ts'
import type { WarmClaimDelivery } from '../warm-pools/warm-claim-delivery.ts'
import { isSameSecret } from './is-same-secret.ts'
import type { SandboxActivity } from './sandbox-activity.ts'
import type { SignedFileCall } from './signed-file-call.ts'
import { isSignedBy } from './signed-file-call.ts'

/** The most sandboxes whose access is cached, and the most names; each takes about 400 bytes. */
const MAX_REMEMBERED = 10_000

/** How long a change may stay unseen when no notification of it arrives. */
const REMEMBERED_TTL_MS = 30_000

/**
 * How long a row that a change brings counts, in milliseconds: for the calls right after it. A newer change elsewhere may
 * have been heard of before.
 */
const BROUGHT_TTL_MS = 1_000

export interface ToolboxServiceOptions {
  sandboxes: Pick<SandboxService, 'access' | 'idOfName'>
  changes: SandboxChanges
  tunnels: Pick<ToolboxTunnels, 'get'>
  activity: Pick<SandboxActivity, 'record'>
  /** Finishes pending claims: it tells a toolbox whose sandbox it has become. */
  claims: Pick<WarmClaimDelivery, 'finish'>
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Decides whether a call may reach a sandbox's toolbox, without the database once the sandbox is cached. */
export interface ToolboxService extends Disposable {
  /**
   * Returns the tunnel to the toolbox, and counts as activity. Throws SANDBOX_NOT_FOUND, SANDBOX_NOT_RUNNING,
   * RUNNER_UNREACHABLE and TOOLBOX_UNREACHABLE.
   */
  open(caller: Principal, idOrName: string): Promise<TunnelPeer>
  /**
   * Does as `open` for a caller with the sandbox's current token; throws UNAUTHORIZED for any other token and for an
   * unknown id.
   */
  openWithToken(sandboxId: string, token: string): Promise<TunnelPeer>
  /** Does as `openWithToken` for a call signed with the sandbox's current key. */
  openSigned(sandboxId: string, call: SignedFileCall): Promise<TunnelPeer>
  /** Returns the sandbox's organization and whether calls can reach it; undefined for an unknown id. */
  access(sandboxId: string): Promise<SandboxAccess | undefined>
  /** Returns the tunnel for a caller admitted by `access`, and counts as activity. Throws the errors of `open`. */
  connect(sandboxId: string, access: SandboxAccess): Promise<TunnelPeer>
}

export function createToolboxService(options: ToolboxServiceOptions): ToolboxService {
  const { sandboxes } = options
  const byId = createMemory((id: string) => sandboxes.access(id))
  // The key includes the organization: in another one the same name is another sandbox.
  const byName = createMemory((key: string) => {
    const { organizationId, name } = fromKey(key)
    return sandboxes.idOfName(name, organizationId)
  })
  const unsubscribe = options.changes.subscribe((change, row) => {
    const access = row && accessOf(row)
    // The row of a change made here saves the next call a query.
    if (row && access) return byId.remember(row.id, access)
    if (change !== 'all') return byId.forget(change.id)
    byId.clear()
    byName.clear()
  })

  /** Finds a sandbox by name. The cached id may be of a destroyed sandbox whose name is in use again, so it tries twice. */
  async function accessByName(name: string, organizationId: string): Promise<Found | undefined> {
    const key = toKey(name, organizationId)
    for (let attempt = 0; attempt < 2; attempt++) {
      const id = await byName.recall(key)
      const access = id === undefined ? undefined : await byId.recall(id)
      if (id !== undefined && access !== undefined && !access.destroyed) return { id, access }
      byName.forget(key)
    }
    return undefined
  }

  async function accessById(id: string): Promise<Found | undefined> {
    const access = await byId.recall(id)
    return access && { id, access }
  }

  async function connect({ id, access }: Found): Promise<TunnelPeer> {
    if (access.lost) throw new AppError('RUNNER_UNREACHABLE', 'Sandbox cannot be reached: its runner is lost')
    if (!access.running) throw new AppError('SANDBOX_NOT_RUNNING', 'Sandbox is not running')
    // W5: no call comes before the claim is finished.
    if (access.claimPending) await options.claims.finish(id)
    options.activity.record(id)
    const peer = options.tunnels.get(id)
    if (peer === undefined || peer.closed) {
      throw new AppError('TOOLBOX_UNREACHABLE', `The toolbox of sandbox ${id} is not connected`)
    }
    return peer
  }

  return {
    async open({ organizationId }, idOrName) {
      // Ids are compared in lower case, as PostgreSQL prints them.
      const found = isUuid(idOrName)
        ? await accessById(idOrName.toLowerCase())
        : await accessByName(idOrName, organizationId)
      if (found?.access.organizationId !== organizationId) throw sandboxNotFound(idOrName)
      return await connect(found)
    },
    async openWithToken(sandboxId, token) {
      const found = isUuid(sandboxId) ? await accessById(sandboxId.toLowerCase()) : undefined
      const expected = found?.access.authToken
      if (found === undefined || typeof expected !== 'string' || !isSameSecret(token, expected)) {
        throw new AppError('UNAUTHORIZED', 'Invalid sandbox token')
      }
      return await connect(found)
    },
    async openSigned(sandboxId, call) {
      const found = isUuid(sandboxId) ? await accessById(sandboxId.toLowerCase()) : undefined
      const signingKey = found?.access.signingKey
      if (found === undefined || typeof signingKey !== 'string' || !isSignedBy(signingKey, call, options.now())) {
        throw new AppError('UNAUTHORIZED', 'The signature is not valid, or no longer')
      }
      return await connect(found)
    },
    access: async (sandboxId) => (isUuid(sandboxId) ? byId.recall(sandboxId.toLowerCase()) : undefined),
    connect: (id, access) => connect({ id, access }),
    [Symbol.dispose]: unsubscribe,
  }
}

interface Found {
  id: string
  access: SandboxAccess
}

/** Caches lookups, also those under way, so that a change drops a lookup that may hold old data. */
function createMemory<Value extends {}>(lookUp: (key: string) => Promise<Value | undefined>) {
  const remembered = new LRUCache<string, Promise<Value | undefined>>({ max: MAX_REMEMBERED, ttl: REMEMBERED_TTL_MS })
  return {
    recall(key: string): Promise<Value | undefined> {
      const hit = remembered.get(key)
      if (hit !== undefined) return hit
      const lookup = lookUp(key)
      remembered.set(key, lookup)
      const forget = () => {
        if (remembered.peek(key) === lookup) remembered.delete(key)
      }
      // Failures and unknown keys are not cached.
      lookup.then((found) => found ?? forget(), forget)
      return lookup
    },
    remember: (key: string, value: Value): void => {
      remembered.set(key, Promise.resolve(value), { ttl: BROUGHT_TTL_MS })
    },
    forget: (key: string): void => {
      remembered.delete(key)
    },
    clear: () => remembered.clear(),
  }
}

function toKey(name: string, organizationId: string): string {
  return `${organizationId} ${name}`
}

function fromKey(key: string): { name: string; organizationId: string } {
  const at = key.indexOf(' ')
  return { organizationId: key.slice(0, at), name: key.slice(at + 1) }
}
