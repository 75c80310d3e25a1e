import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunningAtoll } from '@atoll/dev-env'
import postgres from 'postgres'

/** The system's database, to fill it faster than any client could. */
export interface ListDatabase extends AsyncDisposable {
  /** Adds `count` rows of sandboxes, without any files or processes, to the organization of the system's key. */
  fillOwn(count: number): Promise<void>
  /** Adds `count` such rows, spread over `organizations` other organizations. */
  fillOthers(count: number, organizations: number): Promise<void>
}

/** Line numbers in PostgreSQL's postmaster.pid. */
const [SOCKET_DIR_LINE, PORT_LINE] = [4, 3]

export async function openListDatabase(atoll: RunningAtoll): Promise<ListDatabase> {
  const lines = readFileSync(join(atoll.dataDir, 'postgres/data/postmaster.pid'), 'utf8').split('\n')
  const sql = postgres({
    ...{ host: lines[SOCKET_DIR_LINE] ?? '', port: Number(lines[PORT_LINE]), user: 'atoll', database: 'atoll' },
    ...{ max: 1, onnotice: () => undefined },
  })
  // The rows' runner never connects, so that they are never compared with what a runner has.
  const [runner] = await sql`
    insert into runners (name, token_hash, region) values ('bench', repeat('b', 64), 'us') returning id`
  const [own] = await sql`select organization_id as id, user_id from api_keys limit 1`
  if (runner === undefined || own === undefined) throw new Error('the database is not that of a system')

  let filled = 0
  const fill = async (count: number, organizations: readonly string[]) => {
    await sql`
    insert into sandboxes (
      organization_id, name, runner_id, snapshot, os_user, env, labels, public, target, class, cpu, gpu, memory_gib,
      disk_gib, network_block_all, auto_stop_minutes, auto_archive_minutes, auto_delete_minutes, state, desired_state,
      changed_at, last_activity_at, created_at, updated_at)
    select
      (${organizations as string[]}::uuid[])[1 + n % ${organizations.length}::integer],
      case when n % 2 = 0 then 'sandbox-' || md5(n::text) end, ${runner['id']}::uuid,
      case when n % 10 = 0 then 'python' else 'host' end, 'daytona', '{"PATH":"/usr/bin"}'::jsonb,
      jsonb_build_object('n', n::text, 'team', (n % 50)::text), n % 100 = 0, 'us', 'small',
      1 + n % 4, 0, 1 + n % 8, 3 + n % 10, false, 15, 10080, -1,
      case when n % 1000 = 0 then 'error' when n % 3 = 0 then 'started' else 'stopped' end,
      case when n % 1000 <> 0 and n % 3 = 0 then 'started' else 'stopped' end,
      now(), now() - n * interval '7 seconds', now() - n * interval '11 seconds', now()
    from generate_series(${filled + 1}::integer, ${filled + count}::integer) as n`
    filled += count
    await sql`vacuum analyze sandboxes`
  }

  return {
    fillOwn: (count) => fill(count, [own['id']]),
    async fillOthers(count, organizations) {
      const made = await sql`
        insert into organizations (name, created_by, personal)
        select 'bench ' || n, ${own['user_id']}, false from generate_series(1, ${organizations}::integer) as n returning id`
      await fill(
        count,
        made.map((row) => String(row['id'])),
      )
    },
    [Symbol.asyncDispose]: () => sql.end(),
  }
}
