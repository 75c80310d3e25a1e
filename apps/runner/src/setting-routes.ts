import { NetworkRules, ResizeSandbox } from '@atoll/protocol'
import type { SandboxDriver } from './drivers/driver.ts'
import type { Route, RouterOptions } from './exchange-router.ts'
import { routeWithBody } from './exchange-router.ts'

/** The calls that change a sandbox's limits and network rules, as packages/protocol/src/runner-operations.ts describes them. */
export function settingRoutes(driver: SandboxDriver, options: RouterOptions): Route[] {
  return [
    routeWithBody(
      { method: 'POST', path: /^\/sandboxes\/([^/]+)\/resize$/, schema: ResizeSandbox },
      async ({ id, body }) => {
        const { cpu, memoryGiB, diskGiB } = body
        const wanted = Object.entries({ cpu, memoryGiB, diskGiB }).filter(([, value]) => value !== undefined)
        return { status: 200, body: await driver.resize(id, Object.fromEntries(wanted)) }
      },
      options,
    ),
    routeWithBody(
      { method: 'PUT', path: /^\/sandboxes\/([^/]+)\/network$/, schema: NetworkRules },
      async ({ id, body }) => ({ status: 200, body: await driver.setNetworkRules(id, body) }),
      options,
    ),
  ]
}
