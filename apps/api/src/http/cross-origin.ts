import fastifyCors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'

/** Seconds a browser may cache the answer to a preflight. */
const PREFLIGHT_MAX_AGE_S = 600

/** Allows calls from any origin: no cookie authorises a call, only a key that the caller's own code holds. */
export const crossOrigin = fastifyPlugin(
  async (app: FastifyInstance) => {
    await app.register(fastifyCors, {
      origin: true,
      // Any OPTIONS request counts as a preflight, so that none is refused with a body of another shape.
      strictPreflight: false,
      credentials: true,
      methods: ['GET', 'HEAD', 'PUT', 'PATCH', 'POST', 'DELETE', 'OPTIONS'],
      exposedHeaders: ['x-request-id'],
      maxAge: PREFLIGHT_MAX_AGE_S,
    })
  },
  { name: 'cross-origin' },
)
