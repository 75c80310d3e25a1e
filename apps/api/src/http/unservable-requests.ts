import { AppError } from '@atoll/protocol'
import type { FastifyInstance, FastifySchema } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { pathOf } from './error-handler.ts'

/** Real names, ids and paths stay far below this limit. */
const MAX_URL_BYTES = 16 * 1024

export interface Route {
  readonly method: string
  readonly url: string
  /** The schema that checks its requests. */
  readonly schema: FastifySchema | undefined
}

/**
 * Refuses requests that no route can serve: 414 for a URL that is too long, 404 for an unknown path, 405 with `Allow`
 * for a known path with another method. It does so before the body is read, so the body does not matter. `routes` lists
 * every route that is registered after the plugin.
 */
export function createUnservableRequests() {
  const routes: Route[] = []
  const patterns = new Map<string, RegExp>()

  function methodsOf(path: string): string[] {
    const matching = routes.filter(({ url }) => patterns.get(url)?.test(path))
    return [...new Set(matching.map(({ method }) => method))].sort()
  }

  const plugin = fastifyPlugin(
    async (app: FastifyInstance) => {
      app.addHook('onRoute', ({ url, method, schema }) => {
        for (const name of [method].flat()) routes.push({ method: name, url, schema })
        patterns.set(url, toPattern(url))
      })
      app.addHook('onRequest', async (request, reply) => {
        if ((request.raw.url ?? '').length > MAX_URL_BYTES) {
          throw new AppError('URI_TOO_LONG', `The URL is longer than ${MAX_URL_BYTES} bytes`)
        }
        if (!request.is404) return
        const path = pathOf(request.raw.url)
        const methods = methodsOf(path)
        if (methods.length === 0) throw new AppError('NOT_FOUND', `Cannot ${request.method} ${path}`)
        reply.header('allow', methods.join(', '))
        throw new AppError('METHOD_NOT_ALLOWED', `${path} does not take ${request.method}`)
      })
    },
    { name: 'unservable-requests' },
  )
  const list: readonly Route[] = routes
  return { plugin, routes: list }
}

/** Turns `/api/sandbox/:id/start` into a pattern: each parameter matches one segment, and `*` matches the rest. */
function toPattern(url: string): RegExp {
  const parts = url.split('/').map((part) => {
    if (part === '*') return '.*'
    return part.startsWith(':') ? '[^/]+' : part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('/')}$`)
}
