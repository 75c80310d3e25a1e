import { AuditLogPage, AuditScenarios, ListAuditLogs } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { AuditReader } from './audit-reader.ts'

const tags = ['audit']

/** Serves the audit log (§20.1 of the contract). */
export const auditRoutes: FastifyPluginAsyncTypebox<{ auditReader: AuditReader }> = async (app, { auditReader }) => {
  app.get(
    '/audit/organizations/:organizationId',
    {
      config: { access: 'read:audit_logs' },
      schema: {
        ...{ tags, summary: 'List what was changed in an organization, newest first' },
        params: Type.Object({ organizationId: Type.String() }),
        ...{ querystring: ListAuditLogs, response: { 200: AuditLogPage } },
      },
    },
    ({ principal, query }) => auditReader.page(principal.organizationId, query),
  )
}

/** Serves the list of actions that the log can hold; clients ask for it without a credential. */
export const auditScenarioRoutes: FastifyPluginAsyncTypebox<{ auditReader: AuditReader }> = async (app, options) => {
  app.get(
    '/audit/scenarios',
    { schema: { tags, summary: 'List what can be in the audit log', response: { 200: AuditScenarios } } },
    async () => options.auditReader.scenarios(),
  )
}
