import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TransactionSql as Sql } from 'postgres'
import postgres from 'postgres'

/** A sandbox's row, with what decides about the host. */
export interface SandboxRow {
  id: string
  name: string
  state: string
  desiredState: string
  runnerId: string | null
  recoverableTo: string | null
  errorReason: string | null
  backupId: string | null
  isLeased: boolean
  cpu: number
  memoryGib: number
  diskGib: number
  /** It waits in a warm pool, or waited until it ended, and is nobody's. */
  isWarm: boolean
  /** It was taken over, and its toolbox may not have heard of it. */
  claimPending: boolean
  /** Its runner is lost. */
  lost: boolean
}

export interface BackupRow {
  id: string
  sandboxId: string
  state: string
  bytes: number | null
  sha256: string | null
  /** Somebody may be writing its object; one that died keeps it from being taken away until the lease is over. */
  isLeased: boolean
  /** It is of an archive that ended unfinished, and waits for the next. */
  isPaused: boolean
}

/** What the database says, at one moment. */
export interface SystemRows {
  sandboxes: SandboxRow[]
  backups: BackupRow[]
  /** Where sandboxes were and are no more, on runners that are to remove what they may still have of them. */
  leftovers: { sandboxId: string; runnerId: string }[]
  /** Keys of stored objects, and the names of their files in order. */
  objects: { key: string; files: string[] }[]
  /** Multipart uploads that are under way, with the files of their parts. */
  uploads: { key: string; files: string[] }[]
  /** Every file of an object that a row knows of; `isHeld`: it is part of something. */
  objectFiles: { name: string; isHeld: boolean }[]
}

export interface EventRow {
  at: Date
  event: string
  fromState: string | null
  toState: string
  reason: string | null
}

/** Reads the embedded database of a data folder, past the API. Throws while it is away. */
export function readRows(dataDir: string): Promise<SystemRows> {
  return inDatabase(dataDir, async (tx) => ({
    sandboxes: await tx<SandboxRow[]>`
      select id, coalesce(name, id::text) as name, state, desired_state as "desiredState", runner_id as "runnerId",
        recoverable_to as "recoverableTo", error_reason as "errorReason", backup_id as "backupId",
        coalesce(lease_expires_at > now(), false) as "isLeased",
        cpu, memory_gib as "memoryGib", disk_gib as "diskGib",
        organization_id is null as "isWarm", coalesce(claim_pending, false) as "claimPending",
        lost
      from sandboxes`,
    backups: await tx<BackupRow[]>`
      select id, sandbox_id as "sandboxId", state, bytes::float8 as bytes, sha256,
        coalesce(lease_expires_at > now(), false) as "isLeased",
        exists (
          select 1 from sandboxes
          where sandboxes.id = sandbox_id and backup_state = 'Error'
            and sandboxes.state = 'stopped' and desired_state = 'stopped'
        ) as "isPaused"
      from sandbox_backups`,
    leftovers: await tx<SystemRows['leftovers']>`
      select sandbox_id as "sandboxId", runner_id as "runnerId" from former_placements
      join runners on runners.id = runner_id and removed_at is null
      where cleared_at is null`,
    objects: await tx<SystemRows['objects']>`
      select key, array(select file->>'name' from jsonb_array_elements(files) as file) as files from stored_objects`,
    uploads: await tx<SystemRows['uploads']>`
      select key, array(select file::text from object_upload_parts where upload_id = object_uploads.id) as files
      from object_uploads`,
    objectFiles: await tx<SystemRows['objectFiles']>`select name, released_at is null as "isHeld" from object_files`,
  }))
}

/** How often each event of a sandbox was. Throws while the database is away. */
export function readEventCounts(dataDir: string): Promise<Map<string, number>> {
  return inDatabase(dataDir, async (tx) => {
    const counts = await tx<{ event: string; count: number }[]>`
      select event, count(*)::int as count from sandbox_events group by event order by event`
    return new Map(counts.map(({ event, count }) => [event, count]))
  })
}

/** The changes of one sandbox's state, the oldest first. Throws while the database is away. */
export function readEvents(dataDir: string, sandboxId: string): Promise<EventRow[]> {
  return inDatabase(
    dataDir,
    async (tx) =>
      await tx<EventRow[]>`
      select at, event, from_state as "fromState", to_state as "toState", reason
      from sandbox_events where sandbox_id = ${sandboxId} order by id`,
  )
}

/** Lines of PostgreSQL's own file about itself. */
const [PORT_LINE, SOCKET_DIR_LINE] = [3, 4]

/** Runs `read` in one transaction, which sees one moment, on a connection of its own. */
async function inDatabase<Result>(dataDir: string, read: (tx: Sql) => Promise<Result>): Promise<Result> {
  const lines = readFileSync(join(dataDir, 'postgres/data/postmaster.pid'), 'utf8').split('\n')
  const sql = postgres({
    ...{ host: lines[SOCKET_DIR_LINE] ?? '', port: Number(lines[PORT_LINE]), user: 'atoll', database: 'atoll' },
    ...{ max: 1, connect_timeout: 5, onnotice: () => undefined },
  })
  try {
    return (await sql.begin('isolation level repeatable read', read)) as Result
  } finally {
    await sql.end({ timeout: 1 })
  }
}
