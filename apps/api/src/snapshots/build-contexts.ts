import { Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { AppError } from '@atoll/protocol'
import type { Pack } from 'tar-stream'
import { extract, pack } from 'tar-stream'

/** The folders that Dockerfiles copy from, as clients have uploaded them. */
export interface BuildContexts {
  /**
   * Returns all contexts of a build as one tar archive. Throws NOT_FOUND when the first was never uploaded. The stream
   * fails when a later one was not, or when a context cannot be read to its end. The caller destroys the stream.
   */
  open(organizationId: string, hashes: readonly string[], signal: AbortSignal): Promise<Readable>
}

/** The objects that clients upload: `<organizationId>/<hash>/context.tar` (§11 of the contract). */
export interface UploadedObjects {
  get(key: string): Promise<{ body: Readable } | undefined>
}

export function createBuildContexts({ objects }: { objects: UploadedObjects }): BuildContexts {
  async function openOne(organizationId: string, hash: string): Promise<Readable> {
    const found = await objects.get(`${organizationId}/${hash}/context.tar`)
    if (found === undefined) throw new AppError('NOT_FOUND', `The build context ${hash} was never uploaded`)
    return found.body
  }

  return {
    async open(organizationId, hashes, signal) {
      const [only, ...others] = hashes
      if (only !== undefined && others.length === 0) return await openOne(organizationId, only)
      const all = pack()
      const opened = await openOne(organizationId, only ?? '')
      const append = async () => {
        await addAll(all, opened, signal)
        for (const hash of others) await addAll(all, await openOne(organizationId, hash), signal)
        all.finalize()
      }
      append().catch((error: unknown) => all.destroy(error instanceof Error ? error : new Error('no context')))
      return Readable.from(all, { objectMode: false })
    },
  }
}

/**
 * Appends the entries of an archive. When the result is unpacked, a later file replaces an earlier one of the same
 * name.
 */
async function addAll(target: Pack, archive: Readable, signal: AbortSignal): Promise<void> {
  const entries = extract()
  const reading = pipeline(archive, entries, { signal })
  // A failure ends the iteration below as well.
  reading.catch(() => undefined)
  for await (const entry of entries) {
    const written = target.entry(entry.header)
    entry.pipe(written)
    await finished(written, { signal })
  }
  await reading
}
