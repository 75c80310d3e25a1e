import type { Database } from '../database/database.ts'
import type { LocalObjectStore } from './local-objects.ts'
import { objectFilesStore } from './object-files-store.ts'
import { MAX_LISTED_OBJECTS } from './object-store.ts'
import { objectUploadStore } from './object-upload-store.ts'
import { storedObjectStore } from './stored-object-store.ts'

/** How long abandoned uploads and unused files are kept: longer than any one body may take. */
export const LEFT_BEHIND_MS = 24 * 60 * 60 * 1000
/** The most rows of each kind in one run. */
const BATCH = 1_000

export interface ObjectSweepOptions {
  database: Pick<Database, 'db'>
  objects: LocalObjectStore
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Removes abandoned multipart uploads, files left by crashes, and the objects of organizations that no longer exist.
 * Ends early when the signal aborts.
 */
export async function sweepObjects(options: ObjectSweepOptions, signal: AbortSignal): Promise<void> {
  const { db } = options.database
  const before = new Date(options.now() - LEFT_BEHIND_MS)
  for (const scope of await storedObjectStore.findAbandonedScopes(db, BATCH)) await removeScope(options, scope, signal)
  for (const { id, key } of await objectUploadStore.findAbandoned(db, { before }, BATCH)) {
    if (signal.aborted) return
    await options.objects.abortUpload(id, key)
  }
  if (!signal.aborted) await options.objects.removeFiles(await objectFilesStore.findReleased(db, before, BATCH))
}

async function removeScope({ database, objects }: ObjectSweepOptions, scope: string, signal: AbortSignal) {
  for (const { id, key } of await objectUploadStore.findAbandoned(database.db, { scope }, BATCH)) {
    if (signal.aborted) return
    await objects.abortUpload(id, key)
  }
  const page = await objects.list({ prefix: `${scope}/`, limit: MAX_LISTED_OBJECTS })
  for (const { key } of page.objects) {
    if (signal.aborted) return
    await objects.delete(key)
  }
}
