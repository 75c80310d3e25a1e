import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import config from '../../drizzle.config.ts'
import { migrationsDir } from '../config.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { findLastMigration, readJournal } from './last-migration.ts'
import { migrateDatabase } from './migrate-database.ts'

const WORKSPACE = fileURLToPath(new URL('../..', import.meta.url))

test('the journal lists every migration, in the order of time', async () => {
  const journal = await readJournal(migrationsDir)
  const files = (await readdir(migrationsDir)).filter((name) => name.endsWith('.sql')).sort()
  expect(journal.map(({ tag }) => `${tag}.sql`)).toEqual(files)
  // drizzle silently skips a migration that is not newer than the newest one applied.
  for (const [index, entry] of journal.entries()) expect(entry.when).toBeGreaterThan(journal[index - 1]?.when ?? 0)
})

test('the tables have no change without a migration', async () => {
  expect(await newMigrations([String(config.schema)])).toEqual([])
})

test('a table without migration is noticed', async () => {
  const planted = './src/testing/planted-schema.ts'
  expect(await newMigrations([String(config.schema), planted])).toEqual([expect.stringMatching(/\.sql$/)])
})

test('after migrating the database has one row for each file, and says which was last', async () => {
  await using database = await createTestDatabase()
  const journal = await readJournal(migrationsDir)
  const rows = await database.sql`select created_at from drizzle.__drizzle_migrations order by id`
  expect(rows.map((row) => Number(row['created_at']))).toEqual(journal.map(({ when }) => when))
  expect(await findLastMigration(database.sql, migrationsDir)).toBe(journal.at(-1)?.tag)
})

test('several may migrate at once', async () => {
  await using database = await createTestDatabase()
  await database.sql`drop schema public cascade`
  await database.sql`create schema public`
  await database.sql`drop schema drizzle cascade`
  await Promise.all([1, 2, 3].map(() => migrateDatabase(database.address, migrationsDir)))
  const rows = await database.sql`select id from drizzle.__drizzle_migrations`
  expect(rows).toHaveLength((await readJournal(migrationsDir)).length)
})

test('every time is stored with its zone, and every foreign key has a name of ours', async () => {
  const statements = await Promise.all(
    (await readJournal(migrationsDir)).map(({ tag }) => readFile(join(migrationsDir, `${tag}.sql`), 'utf8')),
  )
  const text = statements.join('\n')
  expect(text).not.toMatch(/"\s+timestamp(?! with time zone)/)
  // drizzle's generated names repeat tables and columns.
  expect(text).not.toMatch(/_\w+_id_\w+_id_fk"/)
})

/** Returns the migrations that drizzle-kit would add to a copy of the folder. */
async function newMigrations(schema: string[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-migrations-'))
  try {
    await cp(migrationsDir, folder, { recursive: true })
    const before = await readdir(folder)
    const kit = join(dirname(createRequire(import.meta.url).resolve('drizzle-kit')), 'bin.cjs')
    const configFile = join(folder, 'drizzle.config.json')
    await writeFile(configFile, JSON.stringify({ dialect: config.dialect, schema, out: relative(WORKSPACE, folder) }))
    const flags = ['--config', relative(WORKSPACE, configFile)]
    const { stdout } = await promisify(execFile)(process.execPath, [kit, 'generate', ...flags], { cwd: WORKSPACE })
    // A failed run also changes nothing and also ends with status 0.
    expect(stdout).toMatch(/No schema changes|Your SQL migration file/)
    return (await readdir(folder)).filter((name) => name.endsWith('.sql') && !before.includes(name))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
