import { AppError } from '@atoll/protocol'
import { and, eq, inArray, ne, notInArray } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import type { OrganizationBelongings } from '../organizations/organization-upkeep.ts'
import type { VolumeStore } from './volume-store.ts'
import { sandboxVolumes, volumes } from './volume-table.ts'

/** The most volumes that one call deletes; the others wait for the next call. */
const MAX_ENDED_AT_ONCE = 1_000

/** All volumes of an organization. */
export interface OrganizationVolumes extends OrganizationBelongings {
  count(organizationId: string): Promise<number>
}

export function createOrganizationVolumes(options: {
  database: Pick<Database, 'db'>
  store: Pick<VolumeStore, 'change' | 'count' | 'countUsers'>
}): OrganizationVolumes {
  const { store } = options
  const { db } = options.database

  /** Throws VOLUME_IN_USE while sandboxes have the volume: they are destroyed first. */
  async function requireUnused(tx: Queryable, id: string): Promise<void> {
    if ((await store.countUsers(tx, id)) > 0) throw new AppError('VOLUME_IN_USE', 'Its sandboxes are not destroyed yet')
  }

  return {
    count: (organizationId) => store.count(db, organizationId),
    async destroyAll(organizationId, reason) {
      const mine = eq(volumes.organizationId, organizationId)
      const rows = await db
        .select({ id: volumes.id })
        .from(volumes)
        .where(and(mine, notInArray(volumes.state, ['pending_delete', 'deleting', 'deleted'])))
        .limit(MAX_ENDED_AT_ONCE)
      for (const { id } of rows) {
        try {
          await store.change({ id, event: 'delete', reason, before: (tx) => requireUnused(tx, id) })
        } catch (error) {
          // A later round finds it unused.
          if (!(error instanceof AppError && error.code === 'VOLUME_IN_USE')) throw error
        }
      }
    },
    async forget(tx, organizationId) {
      const mine = eq(volumes.organizationId, organizationId)
      if ((await tx.$count(volumes, and(mine, ne(volumes.state, 'deleted')))) > 0) return false
      const ids = tx.select({ id: volumes.id }).from(volumes).where(mine)
      await tx.delete(sandboxVolumes).where(inArray(sandboxVolumes.volumeId, ids))
      await tx.delete(volumes).where(mine)
      return true
    },
  }
}
