import { and, desc, eq, gt, inArray, ne, or, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../../database/database.ts'
import { ownerOf } from '../owner-of.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { sandboxes } from '../sandbox-table.ts'

/** Forks of one sandbox that are listed, newest first, and ancestors that are looked for. */
const MAX_RELATIVES = 1_000

/** The SQL of what is a fork of what. One destroyed at `destroyedAfter` or before is not among the answers. */
export interface ForkStore {
  transaction: Database['transaction']
  /** The row, which stays as it is until `tx` is through. */
  lock(tx: Queryable, id: string, organizationId: string): Promise<SandboxRow | undefined>
  /** What was made of it, newest first; without `destroyedAfter` no destroyed ones. */
  forksOf(parent: SandboxRow, destroyedAfter: Date | undefined): Promise<SandboxRow[]>
  /** What it was made of, and what that was made of: the nearest first. */
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
      // Rows outlive their sandboxes, so that one long destroyed does not hide what is before it.
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
