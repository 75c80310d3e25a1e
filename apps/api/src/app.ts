import type { ShutdownPhase } from '@atoll/service'
import { shutDown } from '@atoll/service'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { apiKeyRoutes } from './api-keys/api-key-routes.ts'
import type { ApiOptions, ApiParts } from './api-parts.ts'
import { createApiParts } from './api-parts.ts'
import { audited } from './audit/audit-hook.ts'
import { auditRoutes, auditScenarioRoutes } from './audit/audit-routes.ts'
import { authenticated } from './auth/auth-hook.ts'
import { migrationsDir } from './config.ts'
import { configurationRoutes } from './configuration/configuration-routes.ts'
import type { Database } from './database/database.ts'
import { findLastMigration } from './database/last-migration.ts'
import { dockerRegistryRoutes } from './docker-registries/docker-registry-routes.ts'
import { healthRoutes } from './health/health-routes.ts'
import { crossOrigin } from './http/cross-origin.ts'
import type { UpgradeHandler } from './http/dial-home-server.ts'
import { createHttpServer } from './http/http-server.ts'
import { jsonBody } from './http/json-body.ts'
import { createListeners } from './http/listeners.ts'
import { metricsRoutes } from './http/metrics-routes.ts'
import { docsPage, openapi } from './http/openapi.ts'
import type { Route } from './http/unservable-requests.ts'
import { objectStorageRoutes } from './object-storage/object-storage-routes.ts'
import { s3Routes } from './object-storage/s3-endpoint/s3-routes.ts'
import { linkingRoutes } from './oidc/linking-routes.ts'
import { allOrganizationRoutes } from './organizations/organization-parts.ts'
import { previewAccessRoutes, previewRoutes } from './previews/preview-routes.ts'
import { signedPreviewRoutes } from './previews/signed-preview-routes.ts'
import { regionRoutes, sharedRegionRoutes } from './regions/region-routes.ts'
import { runnerRoutes } from './runners/runner-routes.ts'
import { forkRoutes } from './sandboxes/forks/fork-routes.ts'
import { sandboxAccessRoutes } from './sandboxes/sandbox-access-routes.ts'
import { sandboxListRoutes } from './sandboxes/sandbox-list-routes.ts'
import { sandboxRoutes } from './sandboxes/sandbox-routes.ts'
import { sandboxSnapshotRoutes } from './sandboxes/sandbox-snapshot-routes.ts'
import { sandboxOperationRoutes } from './sandboxes/settings/sandbox-operation-routes.ts'
import { sandboxSettingsRoutes } from './sandboxes/settings/sandbox-settings-routes.ts'
import { workspaceSettingsRoutes } from './sandboxes/settings/workspace-settings-routes.ts'
import { workspaceRoutes } from './sandboxes/workspace-routes.ts'
import type { PasswordService } from './sign-in/password-service.ts'
import { passwordRoutes, signInRoutes } from './sign-in/sign-in-routes.ts'
import { imageRoutes } from './snapshots/image-routes.ts'
import { snapshotRoutes } from './snapshots/snapshot-routes.ts'
import { toolboxRoutes } from './toolbox/toolbox-routes.ts'
import { routeUpgrade } from './toolbox/upgrade-requests.ts'
import { userRoutes } from './users/user-routes.ts'
import { volumeRoutes } from './volumes/volume-routes.ts'
import { warmPoolRoutes } from './warm-pools/warm-pool-routes.ts'

export interface Api {
  readonly app: FastifyInstance
  readonly database: Database
  readonly passwords: PasswordService
  /** Every route of the features. */
  readonly routes: readonly Route[]
  /**
   * Opens the public port and the dial-home socket, and returns the public URL. Throws one line that names the port or
   * socket that is taken.
   */
  listen(): Promise<string>
  /** The phases that end everything above the database server, in order; 3 s at most. */
  readonly phases: ShutdownPhase[]
  [Symbol.asyncDispose](): Promise<void>
}

/** Builds the API. It is ready for requests when this resolves, and reachable after `listen`. */
export async function createApi(options: ApiOptions): Promise<Api> {
  const parts = await createApiParts(options)
  const previewServer = await parts.createServer()
  const app = createHttpServer({
    ...parts,
    divert(request, response) {
      const isPreview = previewServer.owns(request)
      if (isPreview) previewServer.handle(request, response)
      return isPreview
    },
  })
  await registerFeatures(app, parts, await findLastMigration(parts.database.sql, migrationsDir))
  await app.ready()
  parts.listener.start()
  parts.identity.start()
  await parts.start()
  parts.organizationParts.upkeep.start()
  parts.registryParts.start()
  parts.storageParts.start()
  parts.history.start()
  const dialHomeUpgrade: UpgradeHandler = (request, socket, head) => {
    if (!parts.tunnelUpgrade(request, socket, head)) routeUpgrade(app, request, { socket, head })
  }
  const upgrade: UpgradeHandler = (request, socket, head) => {
    if (previewServer.owns(request)) previewServer.upgrade(request, socket, head)
    else if (!parts.events.upgrade(request, socket, head)) dialHomeUpgrade(request, socket, head)
  }
  const listeners = createListeners({ app, upgrade, dialHomeUpgrade, ...parts })
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
        await parts.events[Symbol.asyncDispose]()
        await parts.close()
        await listeners.dropAll()
        await previewServer.close()
      },
    },
    {
      name: 'database',
      deadlineMs: 1_000,
      run: async () => {
        await parts.organizationParts.upkeep[Symbol.asyncDispose]()
        await parts.auditParts.audit.close()
        await parts.identity.close()
        await parts.registryParts[Symbol.asyncDispose]()
        await parts.storageParts[Symbol.asyncDispose]()
        await parts.history[Symbol.asyncDispose]()
        await parts.listener.close()
        await parts.database.close()
      },
    },
  ]
  return {
    app,
    database: parts.database,
    passwords: parts.passwords,
    routes: parts.unservable.routes,
    listen: listeners.open,
    phases,
    [Symbol.asyncDispose]: () => shutDown(phases, options.log),
  }
}

/**
 * Registers every feature: the hooks of all requests, then the public routes, then the routes that give a credential,
 * then the routes that require one.
 */
async function registerFeatures(app: FastifyInstance, parts: ApiParts, lastMigration: string): Promise<void> {
  await app.register(parts.requests.plugin)
  await app.register(crossOrigin)
  await app.register(parts.unservable.plugin)
  await app.register(jsonBody)
  await app.register(openapi, parts.config)

  const anybody: FastifyPluginAsync = async (scope) => {
    await scope.register(metricsRoutes, parts)
    await scope.register(docsPage)
    await scope.register(configurationRoutes, { prefix: '/api', ...parts })
    await scope.register(auditScenarioRoutes, { prefix: '/api', ...parts.auditParts })
    await scope.register(healthRoutes, {
      prefix: '/api',
      isDatabaseReachable: parts.database.isReachable,
      lastMigration,
    })
    await scope.register(previewRoutes, { prefix: '/api', ...parts })
    await scope.register(sharedRegionRoutes, { prefix: '/api', ...parts })
  }

  const strangers: FastifyPluginAsync = async (scope) => {
    await scope.register(audited, parts.auditParts)
    await scope.register(signInRoutes, parts)
  }

  const principals: FastifyPluginAsync = async (scope) => {
    await scope.register(audited, parts.auditParts)
    await scope.register(authenticated, parts)
    await scope.register(apiKeyRoutes, parts)
    await scope.register(userRoutes, parts)
    await scope.register(linkingRoutes, parts)
    await scope.register(passwordRoutes, parts)
    await scope.register(sandboxListRoutes, parts)
    await scope.register(sandboxRoutes, parts)
    await scope.register(sandboxAccessRoutes, parts)
    await scope.register(sandboxSettingsRoutes, parts)
    await scope.register(sandboxOperationRoutes, parts)
    await scope.register(workspaceRoutes, parts)
    await scope.register(workspaceSettingsRoutes, parts)
    await scope.register(regionRoutes, parts)
    await scope.register(runnerRoutes, parts)
    await scope.register(signedPreviewRoutes, parts)
    await scope.register(previewAccessRoutes, parts)
    await scope.register(dockerRegistryRoutes, parts.registryParts)
    await scope.register(objectStorageRoutes, { ...parts.storageParts, publicOrigin: parts.publicOrigin })
    await scope.register(toolboxRoutes, parts)
    await scope.register(allOrganizationRoutes, parts.organizationParts)
    await scope.register(auditRoutes, parts.auditParts)
    await scope.register(snapshotRoutes, { ...parts, ...parts.snapshotParts })
    await scope.register(imageRoutes, parts.snapshotParts)
    await scope.register(forkRoutes, parts)
    await scope.register(sandboxSnapshotRoutes, { ...parts, ...parts.snapshotParts })
    await scope.register(volumeRoutes, parts)
    await scope.register(warmPoolRoutes, parts)
  }

  const { endpoint } = parts.storageParts
  const signed: FastifyPluginAsync = async (scope) => {
    if (endpoint === undefined) return
    const { log, now, config } = parts
    await scope.register(s3Routes, { ...endpoint, log, now, publicUrl: config.publicUrl })
  }

  await app.register(anybody)
  await app.register(strangers, { prefix: '/api' })
  await app.register(signed, { prefix: '/api' })
  await app.register(principals, { prefix: '/api' })
}
