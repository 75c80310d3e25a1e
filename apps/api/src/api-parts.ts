import type { Logger } from '@atoll/service'
import { createAuditParts } from './audit/audit-parts.ts'
import type { Config, Secrets } from './config.ts'
import type { DatabaseAddress } from './database/database.ts'
import { createDatabase } from './database/database.ts'
import { createListener } from './database/listener.ts'
import { createDockerRegistryParts } from './docker-registries/docker-registry-parts.ts'
import type { ResourceReaders } from './events/event-feed.ts'
import { createEventParts } from './events/event-parts.ts'
import { createHistoryKeeper } from './history/history-keeper.ts'
import { createHistoryStore } from './history/history-store.ts'
import { createMetrics } from './http/metrics.ts'
import { createPublicOrigin } from './http/public-origin.ts'
import { createRequestObserver } from './http/request-observer.ts'
import { createTrustedProxies } from './http/trusted-proxies.ts'
import { createUnservableRequests } from './http/unservable-requests.ts'
import { createWaitingRoom } from './http/waiting-room.ts'
import { createIdentityParts } from './identity-parts.ts'
import { createObjectStorageParts } from './object-storage/object-storage-parts.ts'
import { createOrganizationParts } from './organizations/organization-parts.ts'
import { createQuotas } from './organizations/quotas.ts'
import { createPreviewHosts } from './previews/preview-hosts.ts'
import { createPreviewParts } from './previews/preview-parts.ts'
import { createRegionService } from './regions/region-service.ts'
import { createRegionStore } from './regions/region-store.ts'
import { createRunnerRegistry } from './runners/runner-registry.ts'
import { createRunnerRegistryStore } from './runners/runner-registry-store.ts'
import { createSandboxParts } from './sandbox-parts.ts'
import { createBackupObjects } from './sandboxes/backups/backup-objects.ts'
import { createSandboxPresenter } from './sandboxes/sandbox-presenter.ts'
import { createSealer } from './secrets/sealer.ts'
import { loadSealingKeys } from './secrets/sealing-key-file.ts'
import { accessTokenIssuer } from './sign-in/access-tokens.ts'
import { createBuildContexts } from './snapshots/build-contexts.ts'
import { createSnapshotRunnerStore } from './snapshots/snapshot-runner-store.ts'

export interface ApiOptions {
  config: Config
  secrets: Secrets
  /** The database, already migrated. */
  address: DatabaseAddress
  log: Logger
}

export type ApiParts = Awaited<ReturnType<typeof createApiParts>>

/** Makes every long-lived object of the API in the order of their dependencies; each gets only the parts it uses. */
export async function createApiParts({ config, secrets, address, log }: ApiOptions) {
  const sealer = createSealer(await loadSealingKeys({ config, secrets, log }))
  const now = Date.now
  const metrics = createMetrics()
  const proxies = createTrustedProxies(config.trustedProxies)
  const waitingRoom = createWaitingRoom()
  const requests = createRequestObserver({ log, metrics })
  const unservable = createUnservableRequests()
  const database = createDatabase({ address })
  const listener = createListener({ address, log })
  const identityParts = createIdentityParts({ database, listener, sealer, config, secrets, log, now })
  const { runnerToken } = secrets
  const quotas = createQuotas({ now })
  const registryParts = createDockerRegistryParts({ database, sealer, log, now })
  const storageParts = await createObjectStorageParts({ config, secrets, database, sealer, log, now })
  const objects = createBackupObjects(storageParts.objects)
  const regions = createRegionService({ store: createRegionStore(database) })
  const sandboxParts = createSandboxParts({
    ...{ database, listener, log, metrics, quotas, regions, objects, now, runnerToken },
    ...{ proxies, waitingRoom },
    warmPool: config.warmPool,
    lostAfterMs: config.runnerLostAfterMs,
    contexts: createBuildContexts(storageParts),
    registries: (organizationId) => registryParts.dockerRegistries.accessOf(organizationId),
  })
  const publicOrigin = createPublicOrigin({ ...config, proxies })
  const previewHosts = createPreviewHosts({ ...config, publicOrigin })
  const presenter = createSandboxPresenter({ publicOrigin, previewHosts })
  const issuers = [accessTokenIssuer(config), ...config.oidcProviders]
  const readers: ResourceReaders = {
    sandbox: (ids) => sandboxParts.sandboxes.readMany(ids),
    snapshot: (ids) => sandboxParts.snapshotParts.snapshots.readMany(ids),
    volume: (ids) => sandboxParts.volumes.readMany(ids),
  }
  const organizationParts = createOrganizationParts({
    ...{ database, log, now },
    sandboxes: sandboxParts.organizationSandboxes,
    snapshots: sandboxParts.snapshotParts.organizationSnapshots,
    volumes: sandboxParts.organizationVolumes,
    warmPools: sandboxParts.warm.organizationWarmPools,
    regions,
    requireVerifiedEmail: config.requireVerifiedEmail,
  })
  return {
    ...{ config, log, now, metrics, proxies, waitingRoom, requests, unservable },
    ...{ database, listener, sealer, publicOrigin, quotas, regions },
    runnerRegistry: createRunnerRegistry({
      ...{ regions, now, lostAfterMs: config.runnerLostAfterMs },
      store: createRunnerRegistryStore(database),
      holdings: createSnapshotRunnerStore(database),
    }),
    presenter,
    events: createEventParts({ ...identityParts, listener, proxies, presenter, readers, metrics, log }),
    identity: identityParts,
    ...identityParts,
    registryParts,
    storageParts,
    ...sandboxParts,
    warmPools: sandboxParts.warm.warmPools,
    ...createPreviewParts({
      ...{ issuers, database, listener, previewHosts, sandboxParts, proxies, requests, log, metrics, now },
    }),
    organizationParts,
    history: createHistoryKeeper({ store: createHistoryStore(database), days: config.historyDays, log, now }),
    auditParts: createAuditParts({ database, log, metrics, now }),
  }
}
