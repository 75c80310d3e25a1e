import type { ListSandboxes, ListSandboxesByPage } from '@atoll/protocol'
import { DEFAULT_PAGE_SIZE } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import { checkLabels, checkText } from '../http/text-map.ts'
import { parseTime } from '../http/time-field.ts'
import { parseLabels } from './label-filter.ts'
import type { SandboxFacts } from './sandbox-dto.ts'
import { toFacts } from './sandbox-dto.ts'
import type { SandboxFilter } from './sandbox-filter.ts'
import { readCursor, writeCursor } from './sandbox-list-cursor.ts'
import type { Order, SandboxListStore } from './sandbox-list-store.ts'

/** Lists an organization's sandboxes in pages (§20.1). */
export interface SandboxListing {
  /** Returns the page that a cursor points to, or the first; last used first if no order is given. Throws BAD_REQUEST. */
  page(caller: Principal, query: ListSandboxes): Promise<{ items: SandboxFacts[]; nextCursor: string | null }>
  /** Returns the page with that number; newest first if no order is given. */
  numbered(caller: Principal, query: ListSandboxesByPage): Promise<NumberedFacts>
}

export interface NumberedFacts {
  items: SandboxFacts[]
  total: number
  page: number
  totalPages: number
}

export function createSandboxListing({ store }: { store: SandboxListStore }): SandboxListing {
  return {
    async page(caller, query) {
      const { limit = DEFAULT_PAGE_SIZE } = query
      const order: Order = { sort: query.sort ?? 'lastActivityAt', order: query.order ?? 'desc' }
      const after = query.cursor ? readCursor(query.cursor, order) : undefined
      const { regionIds, sandboxClasses } = query
      const filter = filterOf(query, regionIds)
      // All sandboxes are containers.
      if (sandboxClasses?.includes('container') === false) return { items: [], nextCursor: null }
      // One row more than the page tells whether another page follows.
      const { organizationId } = caller
      const found = await store.follow({ organizationId, filter, limit: limit + 1, ...order }, after)
      const shown = found.slice(0, limit)
      const last = shown.at(-1)
      const nextCursor = found.length > limit && last !== undefined ? writeCursor(order, last) : null
      return { items: shown.map(({ row }) => toFacts(row)), nextCursor }
    },

    async numbered(caller, query) {
      const { limit = DEFAULT_PAGE_SIZE, page = 1 } = query
      const order: Order = { sort: query.sort ?? 'createdAt', order: query.order ?? 'desc' }
      const filter = filterOf(query, query.regions)
      const { organizationId } = caller
      const total = await store.count(organizationId, filter)
      const rows = await store.skip({ organizationId, filter, limit, ...order }, (page - 1) * limit)
      return { items: rows.map(toFacts), total, page, totalPages: Math.ceil(total / limit) }
    },
  }
}

function filterOf(query: ListSandboxes | ListSandboxesByPage, targets: readonly string[] | undefined): SandboxFilter {
  const labels = parseLabels(query.labels)
  checkLabels(labels)
  const { id, name, states, snapshots } = query
  for (const [field, texts] of Object.entries({ id: [id], name: [name], states, snapshots, regions: targets })) {
    for (const text of texts ?? []) checkText(field, text ?? '')
  }
  return {
    ...{ labels, idPrefix: id, namePrefix: name, states, snapshots, targets },
    ...{ includeErroredDeleted: query.includeErroredDeleted, public: query.isPublic },
    recoverable: query.isRecoverable,
    cpu: { from: query.minCpu, to: query.maxCpu },
    gpu: { from: query.minGpu, to: query.maxGpu },
    memoryGib: { from: query.minMemoryGiB, to: query.maxMemoryGiB },
    diskGib: { from: query.minDiskGiB, to: query.maxDiskGiB },
    createdAt: { from: toDate('createdAtAfter', query), to: toDate('createdAtBefore', query) },
    lastActivityAt: { from: toDate('lastEventAfter', query), to: toDate('lastEventBefore', query) },
    autoDestroyAt: { from: toDate('autoDestroyAtAfter', query), to: toDate('autoDestroyAtBefore', query) },
  }
}

type TimeField = `${'createdAt' | 'lastEvent' | 'autoDestroyAt'}${'After' | 'Before'}`

function toDate(field: TimeField, query: Pick<ListSandboxes, TimeField>): Date | undefined {
  const text = query[field]
  return text === undefined ? undefined : parseTime(`querystring.${field}`, text)
}
