import type { Logger, ShutdownPhase } from '@atoll/service'
import { shutDown } from '@atoll/service'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { createApiKeyStore } from './api-keys/api-key-store.ts'
import { createApiKeyUse } from './api-keys/api-key-use.ts'
import { authenticated } from './auth/auth-hook.ts'
import { createAuthenticator } from './auth/authenticator.ts'
import type { Config, Secrets } from './config.ts'
import { migrationsDir } from './config.ts'
import type { Database, DatabaseAddress } from './database/database.ts'
import { createDatabase } from './database/database.ts'
import { findLastMigration } from './database/last-migration.ts'
import { createListener } from './database/listener.ts'
import { healthRoutes } from './health/health-routes.ts'
import { crossOrigin } from './http/cross-origin.ts'
import type { UpgradeHandler } from './http/dial-home-server.ts'
import { createHttpServer } from './http/http-server.ts'
import { jsonBody } from './http/json-body.ts'
import { createListeners } from './http/listeners.ts'
import { createMetrics } from './http/metrics.ts'
import { metricsRoutes } from './http/metrics-routes.ts'
import { docsPage, openapi } from './http/openapi.ts'
import { createRequestObserver } from './http/request-observer.ts'
import type { Route } from './http/unservable-requests.ts'
import { createUnservableRequests } from './http/unservable-requests.ts'
import { createSandboxParts } from './sandboxes/sandbox-parts.ts'
import { sandboxRoutes } from './sandboxes/sandbox-routes.ts'
import { toolboxRoutes } from './toolbox/toolbox-routes.ts'
import { routeUpgrade } from './toolbox/upgrade-requests.ts'

export interface ApiOptions {
  config: Config
  secrets: Secrets
  /** A migrated database. */
  address: DatabaseAddress
  log: Logger
}

export interface Api {
  readonly app: FastifyInstance
  readonly database: Database
  /** Every route of the features. */
  readonly routes: readonly Route[]
  /** Opens the public port and the dial-home socket; answers the public URL. Throws one line that names what is taken. */
  listen(): Promise<string>
  /** Ends everything above the database server, in order; 3 s at most. */
  readonly phases: ShutdownPhase[]
  [Symbol.asyncDispose](): Promise<void>
}

/** Builds the API: it is ready for requests, and reachable once it listens. */
export async function createApi(options: ApiOptions): Promise<Api> {
  const parts = createParts(options)
  const app = createHttpServer(parts)
  await registerFeatures(app, parts, await findLastMigration(parts.database.sql, migrationsDir))
  await app.ready()
  parts.listener.start()
  await parts.start()
  const upgrade: UpgradeHandler = (request, socket, head) => {
    if (!parts.tunnelUpgrade(request, socket, head)) routeUpgrade(app, request, { socket, head })
  }
  const listeners = createListeners({ app, upgrade, ...parts })
  const phases: ShutdownPhase[] = [
    {
      name: 'requests',
      deadlineMs: 1_500,
      run: async () => {
        listeners.refuseNew()
        parts.refuseWaiting()
        await parts.requests.inFlight.untilNone()
      },
    },
    {
      name: 'tunnels',
      deadlineMs: 500,
      run: async () => {
        await parts.close()
        await listeners.dropAll()
      },
    },
    {
      name: 'database',
      deadlineMs: 1_000,
      run: async () => {
        await parts.apiKeyUse.close()
        await parts.listener.close()
        await parts.database.close()
      },
    },
  ]
  return {
    app,
    database: parts.database,
    routes: parts.unservable.routes,
    listen: listeners.open,
    phases,
    [Symbol.asyncDispose]: () => shutDown(phases, options.log),
  }
}

type Parts = ReturnType<typeof createParts>

/** Every long-lived object, made from just what it uses, in the order in which they depend on each other. */
function createParts({ config, secrets, address, log }: ApiOptions) {
  const now = Date.now
  const metrics = createMetrics()
  const requests = createRequestObserver({ log, metrics })
  const unservable = createUnservableRequests()
  const database = createDatabase({ address })
  const listener = createListener({ address, log })
  const apiKeyStore = createApiKeyStore(database.db)
  const apiKeyUse = createApiKeyUse({ store: apiKeyStore, log, now })
  const authenticator = createAuthenticator({
    findHolder: apiKeyStore.findHolder,
    onUse: apiKeyUse.record,
    listener,
    now,
  })
  const { runnerToken } = secrets
  const sandboxParts = createSandboxParts({ database, listener, log, metrics, now, runnerToken })
  return {
    config,
    log,
    now,
    metrics,
    requests,
    unservable,
    database,
    listener,
    apiKeyUse,
    authenticator,
    ...sandboxParts,
  }
}

/** The contents page: what every request passes, then what anybody may call, then what takes a credential. */
async function registerFeatures(app: FastifyInstance, parts: Parts, lastMigration: string): Promise<void> {
  await app.register(parts.requests.plugin)
  await app.register(crossOrigin)
  await app.register(parts.unservable.plugin)
  await app.register(jsonBody)
  await app.register(openapi, parts.config)

  const anybody: FastifyPluginAsync = async (scope) => {
    await scope.register(metricsRoutes, parts)
    await scope.register(docsPage)
    await scope.register(healthRoutes, {
      prefix: '/api',
      isDatabaseReachable: parts.database.isReachable,
      lastMigration,
    })
  }

  const principals: FastifyPluginAsync = async (scope) => {
    await scope.register(authenticated, parts)
    await scope.register(sandboxRoutes, parts)
    await scope.register(toolboxRoutes, parts)
  }

  await app.register(anybody)
  await app.register(principals, { prefix: '/api' })
}
