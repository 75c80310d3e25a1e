import { open, readlink, realpath } from 'node:fs/promises'
import { sep } from 'node:path'
import { AppError } from '@atoll/protocol'
import { decompress } from '../archive/decompress.ts'
import type { ArchiveKind } from '../archive/layer-archive.ts'
import { unpackLayer } from '../archive/unpack-layer.ts'
import { packFiles } from './copy-files.ts'
import type { Layer } from './layer-store.ts'
import type { MakeContext, SnapshotContent } from './make-context.ts'
import { tellLayer } from './make-context.ts'
import { NO_IMAGE_CONFIG } from './snapshot-record.ts'

/** Writes a new layer from an uncompressed archive. */
export async function writeLayer(
  context: MakeContext,
  stream: AsyncIterable<Buffer>,
  facts: { kind: ArchiveKind; name: string; maxBytes?: number; blob?: string },
): Promise<Layer> {
  const { layers, log, signal } = context
  const { kind, maxBytes = context.maxBytes } = facts
  const draft = await layers.draft()
  try {
    const found = await unpackLayer(stream, { kind, maxBytes, target: draft.tree, jail: draft.jail, signal })
    tellLayer(log, facts.name, found)
    return await draft.commit({ blobs: facts.blob === undefined ? [] : [facts.blob], pin: context.pin })
  } catch (error) {
    await draft.discard()
    throw error
  }
}

/** Does the same as `writeLayer` for a stream that may be compressed. */
export async function writePackedLayer(
  context: MakeContext,
  stream: AsyncIterable<Buffer>,
  facts: Parameters<typeof writeLayer>[2],
): Promise<Layer> {
  const { hasZstd, signal } = context
  const draft = await context.layers.draft()
  try {
    return await writeLayer(
      context,
      decompress(stream, { jail: draft.jail, scratch: draft.scratch, hasZstd, signal }),
      facts,
    )
  } finally {
    await draft.discard()
  }
}

/** Returns the files of an archive as a snapshot's content. */
export async function readArchive(context: MakeContext, stream: AsyncIterable<Buffer>): Promise<SnapshotContent> {
  const layer = await writePackedLayer(context, stream, { kind: 'files', name: 'archive' })
  return { layers: [layer], image: NO_IMAGE_CONFIG }
}

/**
 * Returns the files of a folder of the host as a snapshot's content, without file systems mounted below it. Throws FORBIDDEN
 * unless it lies in one of `allowed`, links resolved, and BAD_REQUEST where there is no such folder.
 */
export async function readDirectory(
  context: MakeContext,
  { path, allowed }: { path: string; allowed: readonly string[] },
): Promise<SnapshotContent> {
  // The folder is opened before it is checked, so that the checked folder is the one that is read.
  const resolved = await realpath(path).catch(() => path)
  await using folder = await open(resolved, 'r').catch((cause: unknown) => {
    throw new AppError('BAD_REQUEST', `${path} is not a folder that can be read`, { cause })
  })
  await assertAllowed(await readlink(`/proc/self/fd/${folder.fd}`), allowed)
  if (!(await folder.stat()).isDirectory()) throw new AppError('BAD_REQUEST', `${path} is not a folder`)
  const packing = { folder: '/proc/self/fd/3', descriptor: folder.fd, signal: context.signal }
  const files = packFiles({ ...packing, arguments: ['--one-file-system'] })
  const layer = await writeLayer(context, files, { kind: 'files', name: path })
  return { layers: [layer], image: NO_IMAGE_CONFIG }
}

/** Throws FORBIDDEN for a path that is in none of the allowed folders. */
export async function assertAllowed(path: string, allowed: readonly string[]): Promise<void> {
  for (const folder of allowed) {
    const resolved = await realpath(folder).catch(() => undefined)
    if (resolved !== undefined && (path === resolved || path.startsWith(resolved + sep))) return
  }
  throw new AppError('FORBIDDEN', 'that folder is not among those that snapshots may be made from')
}
