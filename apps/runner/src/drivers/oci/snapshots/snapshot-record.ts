import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ImageConfig, RunnerSnapshot } from '@atoll/protocol'
import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { isThere, writeFileWhole } from '../../../files.ts'

const RECORD_FILE = 'snapshot.json'
const LOG_FILE = 'log'
const DRAFT_MARK = '.draft-'

export const SnapshotAccount = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 64 }),
  uid: Type.Integer({ minimum: 0, maximum: 4_294_967_294 }),
  gid: Type.Integer({ minimum: 0, maximum: 4_294_967_294 }),
  additionalGids: Type.Array(Type.Integer({ minimum: 0, maximum: 4_294_967_294 }), { maxItems: 256 }),
  home: Type.String({ minLength: 1, maxLength: 1024, pattern: '^/' }),
})
export type SnapshotAccount = Static<typeof SnapshotAccount>

/** The record on disk of a snapshot that is made or has failed. */
export const SnapshotRecord = Type.Object({
  ref: Type.String(),
  state: Type.Union([Type.Literal('active'), Type.Literal('error')]),
  reason: Type.Optional(Type.String()),
  kind: Type.Index(RunnerSnapshot, ['kind']),
  /** The requested source without credentials, to tell a repeated call from a different one. */
  source: Type.String(),
  /** Ids, topmost first. */
  layers: Type.Array(Type.String()),
  base: Type.Optional(Type.Literal('host')),
  image: ImageConfig,
  accounts: Type.Array(SnapshotAccount),
  digest: Type.Optional(Type.String()),
})
export type SnapshotRecord = Static<typeof SnapshotRecord>

export const NO_IMAGE_CONFIG: ImageConfig = Object.freeze({ entrypoint: [], cmd: [], env: {}, workDir: '', user: '' })

/** The folders of snapshots below one folder; each has a record and a log. */
export interface SnapshotFolders {
  logPath(ref: string): string
  /** Makes a draft folder with a path for the log; it becomes the snapshot's folder when it is kept. */
  draft(ref: string): Promise<SnapshotDraft>
  /** Does nothing where there is no folder of this snapshot. */
  remove(ref: string): Promise<void>
}

export interface SnapshotDraft {
  readonly logPath: string
  keep(record: SnapshotRecord): Promise<void>
  /** Does nothing after it was kept. */
  discard(): Promise<void>
}

/** Reads all records of a folder, and removes drafts that an interrupted making or removal left. */
export async function openSnapshotFolders(
  folder: string,
): Promise<{ folders: SnapshotFolders; records: SnapshotRecord[] }> {
  const records: SnapshotRecord[] = []
  for (const name of await readdir(folder)) {
    const record = name.includes(DRAFT_MARK) ? undefined : await readRecord(join(folder, name, RECORD_FILE))
    if (record?.ref === name) records.push(record)
    else await rm(join(folder, name), { recursive: true, force: true })
  }
  const place = (ref: string) => join(folder, ref)
  return {
    records,
    folders: {
      logPath: (ref) => join(place(ref), LOG_FILE),
      draft: async (ref) => {
        const draft = `${place(ref)}${DRAFT_MARK}${randomUUID()}`
        await mkdir(draft, { mode: 0o700 })
        return {
          logPath: join(draft, LOG_FILE),
          keep: async (record) => {
            await writeFileWhole(join(draft, RECORD_FILE), JSON.stringify(record))
            await rename(draft, place(ref))
            await using parent = await open(folder, 'r')
            await parent.sync()
          },
          discard: () => rm(draft, { recursive: true, force: true }),
        }
      },
      remove: async (ref) => {
        if (!(await isThere(place(ref)))) return
        const doomed = `${place(ref)}${DRAFT_MARK}${randomUUID()}`
        await rename(place(ref), doomed)
        await rm(doomed, { recursive: true, force: true })
      },
    },
  }
}

async function readRecord(path: string): Promise<SnapshotRecord | undefined> {
  try {
    const record: unknown = JSON.parse(await readFile(path, 'utf8'))
    return Value.Check(SnapshotRecord, record) ? record : undefined
  } catch {
    // The record is absent or not whole: the folder is no snapshot.
    return undefined
  }
}
