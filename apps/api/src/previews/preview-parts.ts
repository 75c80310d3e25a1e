import type { Logger } from '@atoll/service'
import type { Database } from '../database/database.ts'
import type { DatabaseListener } from '../database/listener.ts'
import type { Metrics } from '../http/metrics.ts'
import type { RequestObserver } from '../http/request-observer.ts'
import type { TrustedProxies } from '../http/trusted-proxies.ts'
import type { SandboxParts } from '../sandbox-parts.ts'
import { createIdleWatch } from './idle-watch.ts'
import type { OwnIssuer } from './own-credential.ts'
import { createIsOwnCredential } from './own-credential.ts'
import { createPreviewForward } from './preview-forward.ts'
import type { PreviewHosts } from './preview-hosts.ts'
import type { PreviewServer } from './preview-server.ts'
import { createPreviewServer } from './preview-server.ts'
import type { PreviewService } from './preview-service.ts'
import { createPreviewService } from './preview-service.ts'
import type { SignedPreviewService } from './signed-preview-service.ts'
import { createSignedPreviewService } from './signed-preview-service.ts'
import { createSignedPreviewStore } from './signed-preview-store.ts'

export interface PreviewPartsOptions {
  database: Database
  /** A listener that has not been started. */
  listener: DatabaseListener
  previewHosts: PreviewHosts
  /** The issuers whose access tokens the API accepts: these tokens never reach a sandbox. */
  issuers: readonly OwnIssuer[]
  sandboxParts: Pick<SandboxParts, 'sandboxes' | 'toolbox' | 'activity'>
  requests: RequestObserver
  proxies: Pick<TrustedProxies, 'trusts'>
  log: Logger
  metrics: Metrics
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The parts that serve previews. */
export interface PreviewParts {
  readonly previews: PreviewService
  readonly signedPreviews: SignedPreviewService
  /** Creates the server; the caller closes it. */
  createServer(): Promise<PreviewServer>
}

export function createPreviewParts(options: PreviewPartsOptions): PreviewParts {
  const { database, listener, previewHosts: hosts, requests, proxies, log, metrics, now } = options
  const { sandboxes, toolbox, activity } = options.sandboxParts
  const store = createSignedPreviewStore(database)
  const signedPreviews = createSignedPreviewService({ sandboxes, store, listener, now })
  const previews = createPreviewService({ toolbox, signedPreviews })
  return {
    previews,
    signedPreviews,
    async createServer() {
      const isOwnCredential = createIsOwnCredential(options.issuers)
      // The monotonic clock makes changes of the system time close no connection and keep none.
      const idleWatch = createIdleWatch({ now: () => performance.now() })
      const forwardPreview = createPreviewForward({ hosts, activity, isOwnCredential, idleWatch, log, metrics, now })
      const server = await createPreviewServer({ hosts, previews, forwardPreview, requests, proxies, log, now })
      return {
        ...server,
        async close() {
          idleWatch[Symbol.dispose]()
          await server.close()
        },
      }
    },
  }
}
