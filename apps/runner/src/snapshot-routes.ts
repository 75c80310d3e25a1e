import { AppError, MakeSnapshot } from '@atoll/protocol'
import type { SnapshotHolder } from './drivers/snapshot-holder.ts'
import type { Route, RouterOptions } from './exchange-router.ts'
import { route, routeToStream, routeWithBody, routeWithStream } from './exchange-router.ts'

const SNAPSHOT = /^\/snapshots\/([^/]+)$/

/** The calls on snapshots, as packages/protocol/src/runner-operations.ts describes them. */
export function snapshotRoutes(snapshots: SnapshotHolder, options: RouterOptions): Route[] {
  const ok = (body: unknown) => ({ status: 200, body })
  return [
    route({ method: 'GET', path: /^\/snapshots$/ }, async () => ok({ items: await snapshots.list() }), options),
    route({ method: 'GET', path: SNAPSHOT }, async ({ id }) => ok(await snapshots.get(id)), options),
    routeWithBody(
      { method: 'PUT', path: SNAPSHOT, schema: MakeSnapshot },
      async ({ id, body }) => ok(await snapshots.make(id, body)),
      options,
    ),
    routeWithStream(
      { method: 'PUT', path: /^\/snapshots\/([^/]+)\/content$/ },
      async ({ id, content }) => ok(await snapshots.takeContent(id, content)),
      options,
    ),
    routeToStream(
      { method: 'GET', path: /^\/snapshots\/([^/]+)\/log$/, contentType: 'text/plain; charset=utf-8' },
      ({ id, query, signal }) => {
        const follow = query.get('follow') === 'true'
        return snapshots.readLog(id, { from: readOffset(query.get('from')), follow, signal })
      },
      options,
    ),
    routeToStream(
      { method: 'GET', path: /^\/snapshots\/([^/]+)\/export$/, contentType: 'application/x-tar' },
      ({ id, signal }) => snapshots.export(id, signal),
      options,
    ),
    route(
      { method: 'DELETE', path: SNAPSHOT },
      async ({ id }) => {
        await snapshots.remove(id)
        return { status: 204 }
      },
      options,
    ),
  ]
}

function readOffset(text: string | null): number {
  if (text === null) return 0
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new AppError('BAD_REQUEST', 'from is a number of bytes')
}
