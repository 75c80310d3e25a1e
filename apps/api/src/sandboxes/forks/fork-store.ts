import { and, desc, eq, gt, inArray, ne, or, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../../database/database.ts'
import { ownerOf } from '../owner-of.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { sandboxes } from '../sandbox-table.ts'

/** The most forks of one sandbox that are listed, newest first, and the most ancestors that are looked for. */
const MAX_RELATIVES = 1_000

/** The SQL of forks and their parents. Sandboxes destroyed at `destroyedAfter` or before are not returned. */
export interface ForkStore {
  transaction: Database['transaction']
  /** Returns the row, locked until `tx` ends. */
  lock(tx: Queryable, id: string, organizationId: string): Promise<SandboxRow | undefined>
  /** Returns the direct forks of a sandbox, newest first; without `destroyedAfter` no destroyed ones. */
  forksOf(parent: SandboxRow, destroyedAfter: Date | undefined): Promise<SandboxRow[]>
  /** Returns the parent of a fork, the parent of that, and so on: the nearest first. */
  ancestorsOf(child: SandboxRow, destroyedAfter: Date): Promise<SandboxRow[]>
}

export function createForkStore({ db, transaction }: Pick<Database, 'db' | 'transaction'>): ForkStore {
  return {
    transaction,
    async lock(tx, id, organizationId) {
      const mine = and(eq(sandboxes.id, id), eq(sandboxes.organizationId, organizationId))
      const [row] = await tx.select().from(sandboxes).where(mine).for('update')
      return row
    },
    async forksOf(parent, destroyedAfter) {
      const { id } = parent
      const organizationId = ownerOf(parent)
      return await db
        .select()
        .from(sandboxes)
        .where(
          and(eq(sandboxes.forkedFromId, id), eq(sandboxes.organizationId, organizationId), isReadable(destroyedAfter)),
        )
        .orderBy(desc(sandboxes.createdAt), sandboxes.id)
        .limit(MAX_RELATIVES)
    },
    async ancestorsOf(child, destroyedAfter) {
      const { id } = child
      const organizationId = ownerOf(child)
      // Rows outlive their sandboxes, so that a parent destroyed long ago does not hide its own ancestors.
      const chain = await db.execute<{ id: string; depth: number }>(sql`
        with recursive chain (id, depth) as (
          select forked_from_id, 1 from sandboxes where id = ${id} and forked_from_id is not null
          union all
          select sandboxes.forked_from_id, chain.depth + 1 from sandboxes join chain on sandboxes.id = chain.id
          where sandboxes.forked_from_id is not null and chain.depth < ${MAX_RELATIVES}
        )
        select id, depth from chain`)
      const depths = new Map([...chain].map((one) => [one.id, one.depth]))
      if (depths.size === 0) return []
      const rows = await db
        .select()
        .from(sandboxes)
        .where(
          and(
            inArray(sandboxes.id, [...depths.keys()]),
            eq(sandboxes.organizationId, organizationId),
            isReadable(destroyedAfter),
          ),
        )
      return rows.sort((one, other) => (depths.get(one.id) ?? 0) - (depths.get(other.id) ?? 0))
    },
  }
}

function isReadable(destroyedAfter: Date | undefined) {
  const isThere = ne(sandboxes.state, 'destroyed')
  return destroyedAfter === undefined ? isThere : or(isThere, gt(sandboxes.changedAt, destroyedAfter))
}
