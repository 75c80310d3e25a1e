import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { version } from '../version.ts'

/** Path of the interactive page; the document is below it at `/json`. */
export const DOCS_PATH = '/api/docs'

/**
 * Everything loads from here. The page sets styles at run time, which cannot run code; requests are not upgraded to
 * HTTPS, since a self-hosted API often has none.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "base-uri 'self'",
  "frame-ancestors 'self'",
  "img-src 'self' data:",
  "object-src 'none'",
  "style-src 'self' 'unsafe-inline'",
].join('; ')

const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40" height="40">
<circle cx="20" cy="20" r="12" fill="none" stroke="#4fd1c5" stroke-width="6" stroke-dasharray="58 18"/>
<text x="42" y="28" font-family="sans-serif" font-size="24" fill="#fff">Atoll</text></svg>`

/** Describes every later route as OpenAPI 3.1, from the schemas that check the requests. */
export const openapi = fastifyPlugin<{ publicUrl: string | undefined }>(
  async (app: FastifyInstance, { publicUrl }) => {
    await app.register(fastifySwagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Atoll',
          description: 'Self-hosted control plane for code sandboxes that speaks the Daytona REST API.',
          version,
          license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
        },
        ...(publicUrl === undefined ? {} : { servers: [{ url: publicUrl }] }),
        components: {
          securitySchemes: {
            apiKey: { type: 'http', scheme: 'bearer', description: 'An API key, or an access token from signing in' },
          },
        },
      },
      // A route that requires access takes an API key, which the page then sends.
      transform: ({ schema, url, route }) => ({
        url,
        schema: { ...schema, ...(route.config?.access === undefined ? {} : { security: [{ apiKey: [] }] }) },
      }),
    })
  },
  { name: 'openapi' },
)

/** Serves the interactive page with all its files, so that it works without the internet. */
export const docsPage: FastifyPluginAsync = async (app) => {
  await app.register(fastifySwaggerUi, {
    routePrefix: DOCS_PATH,
    staticCSP: CONTENT_SECURITY_POLICY,
    logo: { type: 'image/svg+xml', content: LOGO },
    uiConfig: { validatorUrl: null, docExpansion: 'list' },
    theme: { title: 'Atoll API' },
  })
}
