import { and, count, eq, lte, sql } from 'drizzle-orm'
import { advisoryLocks } from '../database/advisory-locks.ts'
import type { Database } from '../database/database.ts'
import { signedPreviews } from './signed-preview-table.ts'

/** Replicas notify each other of links that were ended early: the payload is the token's hash. */
export const SIGNED_PREVIEW_CHANNEL = 'signed_preview_expired'

export interface SignedPreview {
  readonly sandboxId: string
  readonly port: number
  readonly expiresAt: Date
}

/** The SQL of signed previews. */
export interface SignedPreviewStore {
  /** Writes a link and deletes the sandbox's expired ones; returns false when it has `max` open links. */
  insert(preview: SignedPreview & { tokenHash: string }, limits: { now: Date; max: number }): Promise<boolean>
  find(tokenHash: string): Promise<SignedPreview | undefined>
  /** Ends a link; returns false when the sandbox has no such link at this port. */
  remove(preview: { tokenHash: string; sandboxId: string; port: number }): Promise<boolean>
}

export function createSignedPreviewStore({ db, transaction }: Database): SignedPreviewStore {
  return {
    insert: (preview, { now, max }) =>
      transaction(async (tx) => {
        // Of two links made at once, the later one must count the earlier.
        await tx.execute(
          sql`select pg_advisory_xact_lock(${advisoryLocks.signedPreviews}, hashtext(${preview.sandboxId}))`,
        )
        const ofSandbox = eq(signedPreviews.sandboxId, preview.sandboxId)
        await tx.delete(signedPreviews).where(and(ofSandbox, lte(signedPreviews.expiresAt, now)))
        const [row] = await tx.select({ held: count() }).from(signedPreviews).where(ofSandbox)
        if ((row?.held ?? 0) >= max) return false
        await tx.insert(signedPreviews).values({ ...preview, createdAt: now })
        return true
      }),
    async find(tokenHash) {
      const { sandboxId, port, expiresAt } = signedPreviews
      const [row] = await db
        .select({ sandboxId, port, expiresAt })
        .from(signedPreviews)
        .where(eq(signedPreviews.tokenHash, tokenHash))
      return row
    },
    remove: ({ tokenHash, sandboxId, port }) =>
      transaction(async (tx) => {
        const rows = await tx
          .delete(signedPreviews)
          .where(
            and(
              eq(signedPreviews.tokenHash, tokenHash),
              eq(signedPreviews.sandboxId, sandboxId),
              eq(signedPreviews.port, port),
            ),
          )
          .returning({ port: signedPreviews.port })
        if (rows.length > 0) await tx.execute(sql`select pg_notify(${SIGNED_PREVIEW_CHANNEL}, ${tokenHash})`)
        return rows.length > 0
      }),
  }
}
