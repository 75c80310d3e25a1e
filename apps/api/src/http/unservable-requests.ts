import { AppError } from '@atoll/protocol'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { pathOf } from './error-handler.ts'

/** Names, ids and paths stay far below it. */
const MAX_URL_BYTES = 16 * 1024

/**
 * Refuses what no route can serve: 414 for a URL that is too long, 404 for an unknown path, 405 with `Allow` for a
 * known one with another method. It does so before the body is read, so what that holds does not matter. Register
 * it before every route.
 */
export const unservableRequests = fastifyPlugin(
  async (app: FastifyInstance) => {
    const routes = new Map<string, { pattern: RegExp; methods: Set<string> }>()
    app.addHook('onRoute', ({ url, method }) => {
      const route = routes.get(url) ?? { pattern: toPattern(url), methods: new Set() }
      for (const name of [method].flat()) route.methods.add(name)
      routes.set(url, route)
    })
    app.addHook('onRequest', async (request, reply) => {
      if ((request.raw.url ?? '').length > MAX_URL_BYTES) {
        throw new AppError('URI_TOO_LONG', `The URL is longer than ${MAX_URL_BYTES} bytes`)
      }
      if (!request.is404) return
      const path = pathOf(request.raw.url)
      const methods = [...routes.values()]
        .filter(({ pattern }) => pattern.test(path))
        .flatMap((route) => [...route.methods])
      if (methods.length === 0) throw new AppError('NOT_FOUND', `Cannot ${request.method} ${path}`)
      reply.header('allow', [...new Set(methods)].sort().join(', '))
      throw new AppError('METHOD_NOT_ALLOWED', `${path} does not take ${request.method}`)
    })
  },
  { name: 'unservable-requests' },
)

/** `/api/sandbox/:id/start` → one segment for each parameter; a `*` takes the rest. */
function toPattern(url: string): RegExp {
  const parts = url.split('/').map((part) => {
    if (part === '*') return '.*'
    return part.startsWith(':') ? '[^/]+' : part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('/')}$`)
}
