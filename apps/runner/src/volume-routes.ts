import { MakeVolume } from '@atoll/protocol'
import type { VolumeHolder } from './drivers/volume-holder.ts'
import type { Route, RouterOptions } from './exchange-router.ts'
import { route, routeWithBody } from './exchange-router.ts'

const VOLUME = /^\/volumes\/([^/]+)$/

/** The calls on volumes, as packages/protocol/src/runner-operations.ts describes them. */
export function volumeRoutes(volumes: VolumeHolder, options: RouterOptions): Route[] {
  const ok = (body: unknown) => ({ status: 200, body })
  return [
    route({ method: 'GET', path: /^\/volumes$/ }, async () => ok({ items: await volumes.list() }), options),
    route({ method: 'GET', path: VOLUME }, async ({ id }) => ok(await volumes.get(id)), options),
    routeWithBody(
      { method: 'PUT', path: VOLUME, schema: MakeVolume },
      async ({ id, body }) => ok(await volumes.make(id, body)),
      options,
    ),
    route(
      { method: 'DELETE', path: VOLUME },
      async ({ id }) => {
        await volumes.remove(id)
        return { status: 204 }
      },
      options,
    ),
  ]
}
