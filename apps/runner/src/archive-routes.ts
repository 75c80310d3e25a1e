import { AppError, UnpackArchive } from '@atoll/protocol'
import type { ArchiveHolder, ArchiveName } from './drivers/archive-holder.ts'
import type { Route, RouterOptions } from './exchange-router.ts'
import { route, routeToStream, routeWithBody, routeWithStream } from './exchange-router.ts'

const OUTGOING = /^\/sandboxes\/([^/]+)\/outgoing$/
const INCOMING = /^\/sandboxes\/([^/]+)\/incoming$/

/** The calls on archives of sandboxes' files, as packages/protocol/src/runner-operations.ts describes them. */
export function archiveRoutes(archives: ArchiveHolder, options: RouterOptions): Route[] {
  return [
    routeWithStream(
      { method: 'PUT', path: OUTGOING },
      async ({ signal, ...request }) => ({ status: 200, body: await archives.stage(nameOf(request), signal) }),
      options,
    ),
    routeToStream(
      { method: 'GET', path: OUTGOING, contentType: 'application/octet-stream' },
      (request) => archives.read(nameOf(request), { from: count(request, 'from'), bytes: count(request, 'bytes') }),
      options,
    ),
    route(
      { method: 'DELETE', path: OUTGOING },
      async (request) => {
        await archives.discard(nameOf(request))
        return { status: 204 }
      },
      options,
    ),
    route(
      { method: 'GET', path: INCOMING },
      async (request) => ({ status: 200, body: await archives.arrived(nameOf(request)) }),
      options,
    ),
    routeWithStream(
      { method: 'PUT', path: INCOMING },
      async ({ content, ...request }) => {
        const part = { from: count(request, 'from'), content }
        return { status: 200, body: await archives.receive(nameOf(request), part) }
      },
      options,
    ),
    routeWithBody(
      { method: 'POST', path: INCOMING, schema: UnpackArchive },
      async ({ body, ...request }) => ({ status: 200, body: await archives.unpack(nameOf(request), body) }),
      options,
    ),
  ]
}

interface Named {
  id: string
  query: URLSearchParams
}

function nameOf({ id, query }: Named): ArchiveName {
  return { sandboxId: id, archiveId: query.get('archive') ?? '' }
}

/** Returns the number of bytes in the query parameter `name`. Throws BAD_REQUEST when it is not a number. */
function count({ query }: Pick<Named, 'query'>, name: string): number {
  const text = query.get(name) ?? ''
  if (!/^\d{1,15}$/.test(text)) throw new AppError('BAD_REQUEST', `${name} must be a number of bytes`)
  return Number(text)
}
