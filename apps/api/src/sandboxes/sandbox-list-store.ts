import type { SandboxSortField } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, count, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import type { SandboxFilter } from './sandbox-filter.ts'
import { conditionOf, shownName } from './sandbox-filter.ts'
import type { SandboxRow } from './sandbox-table.ts'
import { sandboxes } from './sandbox-table.ts'

export interface Order {
  sort: SandboxSortField
  order: 'asc' | 'desc'
}

/** A row's place in an order: the text of its sort key, and its id. */
export interface Position {
  /** A time is written as microseconds since the epoch. */
  key: string
  id: string
}

export interface ListRequest extends Order {
  organizationId: string
  filter: SandboxFilter
  limit: number
}

/** The SQL of lists that come in pages. */
export interface SandboxListStore {
  /** Returns the rows that follow `after`, or the first ones. Every page costs the same, however many precede it. */
  follow(request: ListRequest, after: Position | undefined): Promise<(Position & { row: SandboxRow })[]>
  /** Returns the rows that follow the first `offset`. */
  skip(request: ListRequest, offset: number): Promise<SandboxRow[]>
  count(organizationId: string, filter: SandboxFilter): Promise<number>
}

export function createSandboxListStore({ db }: Pick<Database, 'db'>): SandboxListStore {
  return {
    async follow({ organizationId, filter, limit, ...order }, after) {
      const column = sortColumns[order.sort]
      const rows = await db
        .select({ row: sandboxes, key: sql<string>`(${column.asKey})::text` })
        .from(sandboxes)
        .where(and(conditionOf(organizationId, filter), after && isBehind(after, order)))
        .orderBy(...orderBy(order))
        .limit(limit)
      return rows.map(({ row, key }) => ({ row, key, id: row.id }))
    },
    async skip({ organizationId, filter, limit, ...order }, offset) {
      return await db
        .select()
        .from(sandboxes)
        .where(conditionOf(organizationId, filter))
        .orderBy(...orderBy(order))
        .limit(limit)
        .offset(offset)
    },
    async count(organizationId, filter) {
      const [row] = await db.select({ total: count() }).from(sandboxes).where(conditionOf(organizationId, filter))
      return row?.total ?? 0
    },
  }
}

interface SortColumn {
  column: SQL
  /** The column's exact value as a text. */
  asKey: SQL
  /** Turns such a text into a value again. */
  fromKey: (key: string) => SQL
}

const sortColumns: Record<SandboxSortField, SortColumn> = {
  name: { column: shownName, asKey: shownName, fromKey: (key) => sql`${key}::text` },
  cpu: integer(sql`${sandboxes.cpu}`),
  memoryGib: integer(sql`${sandboxes.memoryGib}`),
  diskGib: integer(sql`${sandboxes.diskGib}`),
  lastActivityAt: time(sql`${sandboxes.lastActivityAt}`),
  createdAt: time(sql`${sandboxes.createdAt}`),
}

function integer(column: SQL): SortColumn {
  return { column, asKey: column, fromKey: (key) => sql`${key}::integer` }
}

function time(column: SQL): SortColumn {
  return {
    column,
    asKey: sql`(extract(epoch from ${column}) * 1000000)::bigint`,
    fromKey: (key) => sql`timestamptz 'epoch' + ${key}::bigint * interval '1 microsecond'`,
  }
}

function isBehind({ key, id }: Position, { sort, order }: Order): SQL {
  const { column, fromKey } = sortColumns[sort]
  const than = order === 'asc' ? sql`>` : sql`<`
  return sql`(${column}, ${sandboxes.id}) ${than} (${fromKey(key)}, ${id}::uuid)`
}

function orderBy({ sort, order }: Order): SQL[] {
  const direction = order === 'asc' ? sql`asc` : sql`desc`
  return [sql`${sortColumns[sort].column} ${direction}`, sql`${sandboxes.id} ${direction}`]
}
