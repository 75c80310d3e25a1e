import { and, count, desc, eq, isNull, or, sql } from 'drizzle-orm'
import { advisoryLocks } from '../database/advisory-locks.ts'
import type { Database, Queryable } from '../database/database.ts'
import type { DockerRegistryRow } from './docker-registry-table.ts'
import { dockerRegistries } from './docker-registry-table.ts'

/** The registries that a caller may see and change: those of an organization and, where set, the system's own. */
export interface RegistryScope {
  readonly organizationId: string
  readonly withGlobal: boolean
}

export type NewDockerRegistry = Omit<DockerRegistryRow, 'createdAt' | 'updatedAt'>
export type DockerRegistryChange = Partial<
  Pick<DockerRegistryRow, 'name' | 'url' | 'username' | 'project' | 'sealedPassword'>
>

export interface DockerRegistryStore {
  /** Returns the registries, newest first. */
  list(scope: RegistryScope): Promise<DockerRegistryRow[]>
  find(id: string, scope: RegistryScope): Promise<DockerRegistryRow | undefined>
  /** Returns the system's default registry of this type; without a default, the newest. */
  findGlobal(type: DockerRegistryRow['registryType']): Promise<DockerRegistryRow | undefined>
  /** Inserts a registry; a default replaces the former default. Returns undefined when the owner has `max` already. */
  insert(registry: NewDockerRegistry, max: number): Promise<DockerRegistryRow | undefined>
  /** Returns undefined when the scope has no registry with this id. */
  update(id: string, scope: RegistryScope, change: DockerRegistryChange): Promise<DockerRegistryRow | undefined>
  /** Makes the registry the default in place of the former one. */
  setDefault(id: string, scope: RegistryScope): Promise<DockerRegistryRow | undefined>
  delete(id: string, scope: RegistryScope): Promise<boolean>
  /** Returns every sealed password. */
  listSealed(): Promise<Pick<DockerRegistryRow, 'id' | 'sealedPassword'>[]>
  /** Replaces a sealed password by a resealed one; returns false when the password has changed meanwhile. */
  replaceSealed(id: string, before: string, after: string): Promise<boolean>
}

export function createDockerRegistryStore({
  db,
  transaction,
}: Pick<Database, 'db' | 'transaction'>): DockerRegistryStore {
  return {
    list: async (scope) =>
      await db
        .select()
        .from(dockerRegistries)
        .where(within(scope))
        .orderBy(desc(dockerRegistries.createdAt), desc(dockerRegistries.id)),
    find: (id, scope) => find(db, id, scope),
    async findGlobal(type) {
      const [row] = await db
        .select()
        .from(dockerRegistries)
        .where(and(isNull(dockerRegistries.organizationId), eq(dockerRegistries.registryType, type)))
        .orderBy(desc(dockerRegistries.isDefault), desc(dockerRegistries.createdAt), desc(dockerRegistries.id))
        .limit(1)
      return row
    },
    insert: (registry, max) =>
      transaction(async (tx) => {
        await lockSiblings(tx, registry)
        const [siblings] = await tx.select({ total: count() }).from(dockerRegistries).where(siblingsOf(registry))
        if ((siblings?.total ?? 0) >= max) return undefined
        if (registry.isDefault) await clearDefault(tx, registry)
        const [row] = await tx.insert(dockerRegistries).values(registry).returning()
        return row
      }),
    async update(id, scope, change) {
      const [row] = await db
        .update(dockerRegistries)
        .set({ ...change, updatedAt: sql`now()` })
        .where(and(eq(dockerRegistries.id, id), within(scope)))
        .returning()
      return row
    },
    setDefault: (id, scope) =>
      transaction(async (tx) => {
        const found = await find(tx, id, scope)
        if (found === undefined) return undefined
        await lockSiblings(tx, found)
        await clearDefault(tx, found)
        const change = { isDefault: true, updatedAt: sql`now()` }
        const [row] = await tx.update(dockerRegistries).set(change).where(eq(dockerRegistries.id, id)).returning()
        return row
      }),
    async delete(id, scope) {
      const deleted = await db
        .delete(dockerRegistries)
        .where(and(eq(dockerRegistries.id, id), within(scope)))
        .returning({ id: dockerRegistries.id })
      return deleted.length > 0
    },
    listSealed: async () =>
      await db
        .select({ id: dockerRegistries.id, sealedPassword: dockerRegistries.sealedPassword })
        .from(dockerRegistries),
    async replaceSealed(id, before, after) {
      const replaced = await db
        .update(dockerRegistries)
        .set({ sealedPassword: after })
        .where(and(eq(dockerRegistries.id, id), eq(dockerRegistries.sealedPassword, before)))
        .returning({ id: dockerRegistries.id })
      return replaced.length > 0
    },
  }
}

function within({ organizationId, withGlobal }: RegistryScope) {
  const own = eq(dockerRegistries.organizationId, organizationId)
  return withGlobal ? or(own, isNull(dockerRegistries.organizationId)) : own
}

async function find(db: Queryable, id: string, scope: RegistryScope): Promise<DockerRegistryRow | undefined> {
  const [row] = await db
    .select()
    .from(dockerRegistries)
    .where(and(eq(dockerRegistries.id, id), within(scope)))
  return row
}

type Owner = Pick<DockerRegistryRow, 'organizationId' | 'registryType'>

function siblingsOf({ organizationId }: Owner) {
  return organizationId === null
    ? isNull(dockerRegistries.organizationId)
    : eq(dockerRegistries.organizationId, organizationId)
}

/** Keeps other transactions from counting the same owner's registries or making a default until this one ends. */
async function lockSiblings(tx: Queryable, { organizationId }: Owner): Promise<void> {
  await tx.execute(
    sql`select pg_advisory_xact_lock(${advisoryLocks.dockerRegistries}, hashtext(${organizationId ?? ''}))`,
  )
}

async function clearDefault(tx: Queryable, owner: Owner): Promise<void> {
  const sameType = eq(dockerRegistries.registryType, owner.registryType)
  await tx
    .update(dockerRegistries)
    .set({ isDefault: false })
    .where(and(siblingsOf(owner), sameType, eq(dockerRegistries.isDefault, true)))
}
