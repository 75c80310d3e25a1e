import type { RunnerInfo } from '@atoll/protocol'
import { LaunchSandbox, SandboxSpec, StartSandbox, StopSandbox } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { IncomingExchange } from '@atoll/tunnel'
import { archiveRoutes } from './archive-routes.ts'
import type { SandboxDriver } from './drivers/driver.ts'
import { streamEvents } from './event-stream.ts'
import { createExchangeRouter, route, routeWithBody } from './exchange-router.ts'
import { settingRoutes } from './setting-routes.ts'
import { snapshotRoutes } from './snapshot-routes.ts'
import { volumeRoutes } from './volume-routes.ts'

const SANDBOX = /^\/sandboxes\/([^/]+)$/

export interface RunnerInterfaceOptions {
  driver: SandboxDriver
  readInfo: () => Promise<RunnerInfo>
  /** Called when the API gives this runner work from now on; once a connection. */
  onReady: () => void
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The interface that the API calls, as packages/protocol/src/runner-operations.ts describes it. */
export function createRunnerInterface(options: RunnerInterfaceOptions): (exchange: IncomingExchange) => void {
  const { driver } = options
  const ok = (body: unknown) => ({ status: 200, body })
  return createExchangeRouter(
    [
      route({ method: 'GET', path: /^\/info$/ }, async () => ok(await options.readInfo()), options),
      route({ method: 'GET', path: /^\/sandboxes$/ }, async () => ok({ items: await driver.list() }), options),
      route({ method: 'GET', path: SANDBOX }, async ({ id }) => ok(await driver.get(id)), options),
      routeWithBody(
        { method: 'PUT', path: SANDBOX, schema: SandboxSpec },
        async ({ id, body }) => ok(await driver.create(id, body)),
        options,
      ),
      routeWithBody(
        { method: 'POST', path: /^\/sandboxes\/([^/]+)\/start$/, schema: StartSandbox },
        async ({ id, body }) => ok(await driver.start(id, body)),
        options,
      ),
      routeWithBody(
        { method: 'PUT', path: /^\/sandboxes\/([^/]+)\/launch$/, schema: LaunchSandbox },
        async ({ id, body }) => ok(await driver.launch(id, body)),
        options,
      ),
      routeWithBody(
        { method: 'POST', path: /^\/sandboxes\/([^/]+)\/stop$/, schema: StopSandbox },
        async ({ id, body }) => ok(await driver.stop(id, body.graceMs)),
        options,
      ),
      route(
        { method: 'DELETE', path: SANDBOX },
        async ({ id }) => {
          await driver.remove(id)
          return { status: 204 }
        },
        options,
      ),
      route(
        { method: 'POST', path: /^\/ready$/ },
        async () => {
          options.onReady()
          return { status: 204 }
        },
        options,
      ),
      ...settingRoutes(driver, options),
      ...snapshotRoutes(driver.snapshots, options),
      ...archiveRoutes(driver.archives, options),
      ...volumeRoutes(driver.volumes, options),
      { method: 'GET', path: /^\/events$/, answer: (exchange) => streamEvents(exchange, driver) },
    ],
    options,
  )
}
