import { RUNNER_TUNNEL_PATH, TOOLBOX_TUNNEL_PATH } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { Database } from '../database/database.ts'
import type { DatabaseListener } from '../database/listener.ts'
import type { Metrics } from '../http/metrics.ts'
import type { RunnerService } from '../runners/runner-service.ts'
import { createRunnerService } from '../runners/runner-service.ts'
import { createRunnerStore } from '../runners/runner-store.ts'
import type { SandboxActivity } from '../toolbox/sandbox-activity.ts'
import { createSandboxActivity } from '../toolbox/sandbox-activity.ts'
import type { ToolboxForward } from '../toolbox/toolbox-forward.ts'
import { createToolboxForward } from '../toolbox/toolbox-forward.ts'
import type { ToolboxService } from '../toolbox/toolbox-service.ts'
import { createToolboxService } from '../toolbox/toolbox-service.ts'
import type { TunnelRegistry } from '../tunnels/tunnel-registry.ts'
import { createTunnelRegistry } from '../tunnels/tunnel-registry.ts'
import type { TunnelEndpoint, TunnelUpgrade } from '../tunnels/tunnel-upgrade.ts'
import { createTunnelUpgrade } from '../tunnels/tunnel-upgrade.ts'
import { createSandboxChanges } from './sandbox-changes.ts'
import { createSandboxLeaseStore } from './sandbox-lease-store.ts'
import { createSandboxReconciler } from './sandbox-reconciler.ts'
import type { SandboxService } from './sandbox-service.ts'
import { createSandboxService } from './sandbox-service.ts'
import type { SandboxStore } from './sandbox-store.ts'
import { createSandboxStore } from './sandbox-store.ts'
import { createSandboxSync } from './sandbox-sync.ts'
import { createStartWaiter } from './start-waiter.ts'

export interface SandboxPartsOptions {
  database: Database
  /** Not started yet. */
  listener: DatabaseListener
  log: Logger
  metrics: Metrics
  /** Milliseconds since the epoch. */
  now: () => number
  /** Token with which this host's runner will connect, if there is one. */
  runnerToken: string | undefined
}

/** Everything that makes sandboxes live and reachable. */
export interface SandboxParts {
  readonly sandboxes: SandboxService
  readonly toolbox: ToolboxService
  /** Passes authorised calls on to toolboxes. */
  readonly forward: ToolboxForward
  readonly runners: RunnerService
  readonly tunnels: TunnelRegistry
  /** Lets toolboxes and runners dial in. */
  readonly tunnelUpgrade: TunnelUpgrade
  /** Begins to reconcile and lets this host's runner in. */
  start(): Promise<void>
  /** Calls that wait for a sandbox are answered now. */
  refuseWaiting(): void
  /** Ends reconciliation, then every tunnel; writes what is held. */
  close(): Promise<void>
}

/** Makes the parts from the bottom up. The caller starts and closes them. */
export function createSandboxParts(options: SandboxPartsOptions): SandboxParts {
  const { database, listener, log, metrics, now } = options
  const closing = new AbortController()
  const changes = createSandboxChanges(listener)
  const store = createSandboxStore({ database, changes, now })
  const tunnels = createTunnelRegistry()
  const observer = createSandboxSync({ store, log })
  const runners = createRunnerService({ store: createRunnerStore(database), observer, log, now })
  const leases = createSandboxLeaseStore(database)
  const reconciler = createSandboxReconciler({ store, leases, runners, tunnels, changes, log })
  const read = async (id: string) => (await store.findMany([id]))[0]
  const waitUntilStarted = createStartWaiter({ changes, read, closing: closing.signal })
  const sandboxes = createSandboxService({ store, changes, runners, waitUntilStarted, now })
  const activity = createSandboxActivity({ write: store.touch, log, now })
  const toolbox = createToolboxService({ sandboxes, changes, tunnels, activity })
  metrics.gauge('atoll_toolboxes_connected', 'Sandboxes whose toolbox is connected here', () => tunnels.size)
  metrics.gauge('atoll_runners_connected', 'Runners that are connected here', () => runners.readyIds().length)
  return {
    sandboxes,
    toolbox,
    forward: createToolboxForward({ log, now, metrics }),
    runners,
    tunnels,
    tunnelUpgrade: createTunnelUpgrade({ endpoints: tunnelEndpoints({ store, runners, tunnels }), log, now }),
    async start() {
      if (options.runnerToken !== undefined) await runners.ensureLocalRunner(options.runnerToken)
      reconciler.start()
    },
    refuseWaiting: () => closing.abort(),
    close: () => closeAll({ closing, reconciler, runners, tunnels, toolbox, activity }),
  }
}

interface TunnelOwners {
  store: Pick<SandboxStore, 'findByToolboxToken'>
  runners: Pick<RunnerService, 'authenticate' | 'attach'>
  tunnels: TunnelRegistry
}

function tunnelEndpoints({ store, runners, tunnels }: TunnelOwners): Record<string, TunnelEndpoint> {
  return {
    [TOOLBOX_TUNNEL_PATH]: {
      expects: (tokenHash) => tunnels.expects(tokenHash),
      async authenticate(tokenHash) {
        const sandbox = await store.findByToolboxToken(tokenHash)
        return sandbox && ((peer, sequence) => tunnels.add({ sandboxId: sandbox.id, tokenHash, peer, sequence }))
      },
    },
    [RUNNER_TUNNEL_PATH]: {
      async authenticate(tokenHash) {
        const runner = await runners.authenticate(tokenHash)
        return runner && ((peer) => runners.attach(runner, peer))
      },
    },
  }
}

interface Closable {
  closing: AbortController
  reconciler: AsyncDisposable
  runners: AsyncDisposable
  tunnels: TunnelRegistry
  toolbox: Disposable
  activity: SandboxActivity
}

async function closeAll(parts: Closable): Promise<void> {
  parts.closing.abort()
  await parts.reconciler[Symbol.asyncDispose]()
  await parts.runners[Symbol.asyncDispose]()
  parts.tunnels.close()
  parts.toolbox[Symbol.dispose]()
  await parts.activity[Symbol.asyncDispose]()
}
