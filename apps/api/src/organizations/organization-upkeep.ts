import { SUSPENSION_GRACE_HOURS } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { sql } from 'drizzle-orm'
import { advisoryLocks } from '../database/advisory-locks.ts'
import type { Database, Queryable } from '../database/database.ts'
import { isSuspended } from './suspension.ts'
import { createUpkeepStore } from './upkeep-store.ts'

/** How late a suspension's end of grace or what a dead replica left undone is noticed, at most. */
const UPKEEP_INTERVAL_MS = 10_000
/** Deleted organizations looked at in one round. */
const MAX_DELETED_AT_ONCE = 1_000
/** Suspended organizations in one query. */
const MAX_STOPPED_AT_ONCE = 1_000
const GRACE_MS = SUSPENSION_GRACE_HOURS * 60 * 60 * 1_000

/** Something that organizations have: sandboxes, snapshots, volumes. */
export interface OrganizationBelongings {
  /** Asks what runs to stop, and what is ready to be used to be so no more. Absent for what is neither. */
  stopAll?(organizationIds: readonly string[], reason: string): Promise<void>
  /** Asks for the end of everything; repeating it does nothing. */
  destroyAll(organizationId: string, reason: string): Promise<void>
  /** Deletes the rows when everything has ended; false while something has not. */
  forget(tx: Queryable, organizationId: string): Promise<boolean>
}

export interface OrganizationUpkeepOptions {
  database: Pick<Database, 'db' | 'transaction'>
  /** In the order in which their rows are deleted: what refers to others first. */
  belongings: readonly OrganizationBelongings[]
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Stops what a suspended organization runs and has ready once the grace is over, and ends deleted organizations. */
export interface OrganizationUpkeep extends AsyncDisposable {
  start(): void
  /** A round soon: something was deleted. */
  wake(): void
  /** One round; none when another replica is at it. */
  run(): Promise<void>
}

/** Works from `start` until disposed. Of several replicas one works at a time; a round that is cut short is repeated. */
export function createOrganizationUpkeep({
  database,
  belongings,
  log,
  now,
}: OrganizationUpkeepOptions): OrganizationUpkeep {
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined
  let again = false
  let closed = false

  async function stopSuspended(): Promise<void> {
    const suspended = await createUpkeepStore(database.db).suspendedBefore(new Date(now() - GRACE_MS))
    const ids = suspended.filter((row) => isSuspended(row, now())).map(({ id }) => id)
    for (let from = 0; from < ids.length && !closed; from += MAX_STOPPED_AT_ONCE) {
      const some = ids.slice(from, from + MAX_STOPPED_AT_ONCE)
      for (const each of belongings) await each.stopAll?.(some, 'The organization is suspended')
    }
  }

  async function endDeleted(): Promise<void> {
    for (const id of await createUpkeepStore(database.db).deleted(MAX_DELETED_AT_ONCE)) {
      if (closed) return
      try {
        for (const each of belongings) await each.destroyAll(id, 'The organization was deleted')
        await forget(id)
      } catch (error) {
        // The others must not wait for this one.
        log.warn({ err: error, organizationId: id }, 'a deleted organization cannot be ended yet')
      }
    }
  }

  async function forget(id: string): Promise<void> {
    await database.transaction(async (tx) => {
      for (const each of belongings) if (!(await each.forget(tx, id))) return
      await createUpkeepStore(tx).remove(id)
    })
  }

  async function run(): Promise<void> {
    await database.transaction(async (tx) => {
      const rows = await tx.execute(
        sql`select pg_try_advisory_xact_lock(${advisoryLocks.organizationUpkeep}) as locked`,
      )
      if (rows[0]?.['locked'] !== true) return
      await stopSuspended()
      await endDeleted()
    })
  }

  async function rounds(): Promise<void> {
    do {
      again = false
      try {
        await run()
      } catch (error) {
        log.warn({ err: error }, 'a round of organization upkeep failed; the next follows')
      }
    } while (again && !closed)
  }

  function wake(): void {
    again = true
    if (closed) return
    running ??= rounds().finally(() => {
      running = undefined
    })
  }

  return {
    start() {
      timer = setInterval(wake, UPKEEP_INTERVAL_MS)
      wake()
    },
    wake,
    run,
    async [Symbol.asyncDispose]() {
      closed = true
      clearInterval(timer)
      await running
    },
  }
}
