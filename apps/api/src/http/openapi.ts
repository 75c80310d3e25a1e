import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { version } from '../version.ts'

/** Where the interactive page is; the document is below it at `/json`. */
export const DOCS_PATH = '/api/docs'

/** Describes every route that is registered after it, as OpenAPI 3.1, from the schemas that check the requests. */
export const openapi = fastifyPlugin(
  async (app: FastifyInstance) => {
    await app.register(fastifySwagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Atoll',
          description: 'Self-hosted control plane for code sandboxes that speaks the Daytona REST API.',
          version,
          license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
        },
        components: {
          securitySchemes: {
            apiKey: { type: 'http', scheme: 'bearer', description: 'An API key: `dtn_` and 64 hexadecimal digits' },
          },
        },
      },
    })
  },
  { name: 'openapi' },
)

/** The interactive page. Everything it needs is served from here, so it works without the internet. */
export const docsPage: FastifyPluginAsync = async (app) => {
  await app.register(fastifySwaggerUi, {
    routePrefix: DOCS_PATH,
    staticCSP: true,
    uiConfig: { validatorUrl: null, persistAuthorization: true, docExpansion: 'list' },
    theme: { title: 'Atoll API' },
  })
}
