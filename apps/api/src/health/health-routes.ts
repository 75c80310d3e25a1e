import { AppError, ErrorBody } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { version } from '../version.ts'

/** Longer than any healthy query takes, shorter than whoever asks waits. */
const DATABASE_DEADLINE_MS = 2_000

const Health = Type.Object({
  status: Type.Literal('ok'),
  version: Type.String(),
  lastMigration: Type.String({ description: 'Name of the newest migration of the database' }),
})

export interface HealthRoutesOptions {
  isDatabaseReachable: (deadlineMs: number) => Promise<boolean>
  lastMigration: string
}

/** `GET /health`: 200 while the API can do its work, else 503. */
export const healthRoutes: FastifyPluginAsyncTypebox<HealthRoutesOptions> = async (app, options) => {
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
      if (!(await options.isDatabaseReachable(DATABASE_DEADLINE_MS))) {
        throw new AppError('SERVICE_UNAVAILABLE', 'The database cannot be reached')
      }
      return { status: 'ok' as const, version, lastMigration: options.lastMigration }
    },
  )
}
