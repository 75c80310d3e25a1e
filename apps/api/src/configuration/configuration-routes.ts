import { DEFAULT_SNAPSHOT, MAX_AUTO_ARCHIVE_MINUTES, ServerConfiguration } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Config } from '../config.ts'
import { DOCS_PATH } from '../http/openapi.ts'
import type { PublicOrigin } from '../http/public-origin.ts'
import type { SandboxPresenter } from '../sandboxes/sandbox-presenter.ts'
import { version } from '../version.ts'

export interface ConfigurationRoutesOptions {
  publicOrigin: PublicOrigin
  presenter: SandboxPresenter
  config: Pick<Config, 'oidcProviders'>
}

/** Serves the facts about this server that a client may know without a key: §20.1 of the contract. */
export const configurationRoutes: FastifyPluginAsyncTypebox<ConfigurationRoutesOptions> = async (app, options) => {
  const { publicOrigin, presenter, config } = options
  const { issuer = '', clientId = '', audience = '' } = config.oidcProviders[0] ?? {}
  const oidc = { issuer, clientId, audience }
  const summary = 'What this server is and can do'
  app.get('/config', { schema: { tags: ['config'], summary, response: { 200: ServerConfiguration } } }, (request) => ({
    version,
    oidc,
    linkedAccountsEnabled: config.oidcProviders.length > 0,
    announcements: {},
    proxyTemplateUrl: presenter.previewTemplate(request),
    proxyToolboxUrl: presenter.toolboxProxyUrl(request),
    defaultSnapshot: DEFAULT_SNAPSHOT,
    dashboardUrl: publicOrigin(request) + DOCS_PATH,
    maxAutoArchiveInterval: MAX_AUTO_ARCHIVE_MINUTES,
    maintananceMode: false,
    environment: 'production',
  }))
}
