import { SUSPENSION_GRACE_HOURS } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { sql } from 'drizzle-orm'
import { advisoryLocks } from '../database/advisory-locks.ts'
import type { Database, Queryable } from '../database/database.ts'
import { isSuspended } from './suspension.ts'
import { createUpkeepStore } from './upkeep-store.ts'

/** The longest delay until the upkeep sees that a suspension's grace has ended or that a dead replica left work undone. */
const UPKEEP_INTERVAL_MS = 10_000
/** The most deleted organizations in one round. */
const MAX_DELETED_AT_ONCE = 1_000
/** The most suspended organizations in one query. */
const MAX_STOPPED_AT_ONCE = 1_000
const GRACE_MS = SUSPENSION_GRACE_HOURS * 60 * 60 * 1_000

/** One kind of thing that organizations own: sandboxes, snapshots, volumes or warm pools. */
export interface OrganizationBelongings {
  /** Asks running things to stop and ready things to become inactive. Absent for a kind that does neither. */
  stopAll?(organizationIds: readonly string[], reason: string): Promise<void>
  /** Asks for the removal of everything; a repeated call does nothing. */
  destroyAll(organizationId: string, reason: string): Promise<void>
  /** Deletes the rows when everything has ended; returns false while something has not. */
  forget(tx: Queryable, organizationId: string): Promise<boolean>
}

export interface OrganizationUpkeepOptions {
  database: Pick<Database, 'db' | 'transaction'>
  /** In the order in which their rows are deleted: rows that refer to others first. */
  belongings: readonly OrganizationBelongings[]
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Stops a suspended organization's sandboxes and makes its snapshots inactive once the grace is over, and removes
 * deleted organizations.
 */
export interface OrganizationUpkeep extends AsyncDisposable {
  start(): void
  /** Starts a round soon, because something was deleted. */
  wake(): void
  /** Runs one round; does nothing when another replica runs one. */
  run(): Promise<void>
}

/**
 * Creates the upkeep, which works from `start` until disposed. One replica works at a time; an interrupted round is
 * repeated.
 */
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
        // One failure must not delay the other organizations.
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
