import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Sql } from 'postgres'
import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Value } from 'typebox/value'

const Journal = Type.Object({
  entries: Type.Array(Type.Object({ when: Type.Integer(), tag: Type.String() })),
})

/** Returns the entries of drizzle's journal in `folder`, in order. */
export async function readJournal(folder: string): Promise<Static<typeof Journal>['entries']> {
  return Value.Parse(Journal, JSON.parse(await readFile(join(folder, 'meta', '_journal.json'), 'utf8'))).entries
}

/** Returns the name of the newest migration the database has; `unknown` when a newer Atoll made it, `none` without any. */
export async function findLastMigration(sql: Sql, folder: string): Promise<string> {
  const [newest] = await sql<{ created_at: string }[]>`
    select created_at from drizzle.__drizzle_migrations order by created_at desc limit 1`
  if (!newest) return 'none'
  const when = Number(newest.created_at)
  return (await readJournal(folder)).find((entry) => entry.when === when)?.tag ?? 'unknown'
}
