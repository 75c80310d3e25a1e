import { AppError, ErrorBody } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { version } from '../version.ts'

/** Longer than any query takes on a busy machine: a false 503 gets the API restarted. */
const DATABASE_DEADLINE_MS = 10_000

const Health = Type.Object({
  status: Type.Literal('ok'),
  version: Type.String(),
  lastMigration: Type.String({ description: 'Name of the newest migration of the database' }),
})

const Part = Type.Object({ status: Type.Literal('up') })
const Parts = Type.Object({ database: Part })
const Readiness = Type.Object({
  status: Type.Literal('ok'),
  info: Parts,
  error: Type.Object({}, { description: 'What is not ready: nothing, or the answer would be 503' }),
  details: Parts,
})

export interface HealthRoutesOptions {
  isDatabaseReachable: (deadlineMs: number) => Promise<boolean>
  lastMigration: string
}

/** Serves `GET /health` and `/health/ready`: 200 while the API can do its work, else 503. */
export const healthRoutes: FastifyPluginAsyncTypebox<HealthRoutesOptions> = async (app, options) => {
  async function requireDatabase(): Promise<void> {
    if (await options.isDatabaseReachable(DATABASE_DEADLINE_MS)) return
    throw new AppError('SERVICE_UNAVAILABLE', 'The database cannot be reached')
  }

  app.get(
    '/health',
    {
      schema: {
        tags: ['system'],
        summary: 'Whether the API can do its work',
        response: { 200: Health, 503: ErrorBody },
      },
    },
    async () => {
      await requireDatabase()
      return { status: 'ok' as const, version, lastMigration: options.lastMigration }
    },
  )

  app.get(
    '/health/ready',
    {
      schema: {
        ...{ tags: ['system'], summary: 'The same, part by part' },
        response: { 200: Readiness, 503: ErrorBody },
      },
    },
    async () => {
      await requireDatabase()
      const parts = { database: { status: 'up' as const } }
      return { status: 'ok' as const, info: parts, error: {}, details: parts }
    },
  )
}
