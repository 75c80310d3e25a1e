import type { SandboxListItem } from '@atoll/protocol'
import { ListSandboxes, ListSandboxesByPage, NumberedSandboxPage, Sandbox, SandboxPage } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { isSdkAtLeast } from '../http/sdk-version.ts'
import { parseLabels } from './label-filter.ts'
import type { SandboxFacts } from './sandbox-dto.ts'
import type { SandboxListing } from './sandbox-listing.ts'
import type { SandboxPresenter } from './sandbox-presenter.ts'
import type { SandboxService } from './sandbox-service.ts'

export interface SandboxListRoutesOptions {
  sandboxes: Pick<SandboxService, 'list'>
  listing: SandboxListing
  presenter: SandboxPresenter
}

/** The first SDK that takes a page where the older ones take an array (§21). */
const FIRST_PAGING_SDK = '0.180.0'

const tags = ['sandbox']
const membership = { access: 'membership' } as const

/** Routes that list sandboxes, in the three shapes that clients of different ages expect. */
export const sandboxListRoutes: FastifyPluginAsyncTypebox<SandboxListRoutesOptions> = async (app, options) => {
  const { sandboxes, listing, presenter } = options
  app.get(
    '/sandbox',
    {
      config: membership,
      schema: {
        ...{ tags, summary: 'List sandboxes', querystring: ListSandboxes },
        description: `A page for callers whose X-Daytona-SDK-Version is at least ${FIRST_PAGING_SDK}. For all others an array of whole sandboxes, newest first, narrowed by nothing but labels.`,
        response: { 200: Type.Union([Type.Array(Sandbox), SandboxPage]) },
      },
    },
    async (request, reply) => {
      const body = isSdkAtLeast(request, FIRST_PAGING_SDK) ? await page(request) : await array(request)
      // Telling the two shapes apart by their schemas would cost a check of every item.
      return reply
        .type('application/json; charset=utf-8')
        .serializer((it) => JSON.stringify(it))
        .send(body)
    },
  )

  app.get(
    '/sandbox/paginated',
    {
      config: membership,
      schema: {
        ...{ tags, summary: 'List sandboxes, by the number of the page', querystring: ListSandboxesByPage },
        response: { 200: NumberedSandboxPage },
      },
    },
    async (request) => {
      const { items, ...numbers } = await listing.numbered(request.principal, request.query)
      return { ...numbers, items: items.map((facts) => presenter.present(request, facts)) }
    },
  )

  async function array(request: FastifyRequest<{ Querystring: ListSandboxes }>): Promise<Sandbox[]> {
    const found = await sandboxes.list(request.principal, parseLabels(request.query.labels))
    return found.map((facts) => presenter.present(request, facts))
  }

  async function page(request: FastifyRequest<{ Querystring: ListSandboxes }>): Promise<SandboxPage> {
    const { items, nextCursor } = await listing.page(request.principal, request.query)
    return { items: items.map((facts) => toListItem(request, facts)), nextCursor }
  }

  function toListItem(
    request: FastifyRequest,
    { env: _, backupCreatedAt: __, volumes: ___, buildInfo: ____, ...facts }: SandboxFacts,
  ): SandboxListItem {
    return presenter.present(request, facts)
  }
}
