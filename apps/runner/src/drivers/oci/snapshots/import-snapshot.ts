import { constants } from 'node:fs'
import { lstat, open, rename, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Value } from 'typebox/value'
import { unpackLayer } from '../archive/unpack-layer.ts'
import { MANIFEST_NAME, SnapshotManifest } from './export-snapshot.ts'
import type { Layer } from './layer-store.ts'
import type { MakeContext, SnapshotContent } from './make-context.ts'
import { SnapshotError, tellLayer } from './make-context.ts'

const MAX_MANIFEST_BYTES = 1024 * 1024

/** Reads the export of another runner. Layers that this runner has already are not taken again. */
export async function importSnapshot(context: MakeContext, stream: AsyncIterable<Buffer>): Promise<SnapshotContent> {
  const { layers, log, maxBytes, signal } = context
  const draft = await layers.draft()
  try {
    const found = await unpackLayer(stream, { kind: 'layer', maxBytes, target: draft.tree, jail: draft.jail, signal })
    tellLayer(log, 'export', found)
    const manifest = await readManifest(join(draft.tree, MANIFEST_NAME))
    const taken: Layer[] = []
    for (const described of manifest.layers) taken.push(await takeLayer(context, draft.tree, described))
    const { base, image, digest } = manifest
    return {
      layers: taken,
      image,
      ...(base === undefined ? {} : { base }),
      ...(digest === undefined ? {} : { digest }),
    }
  } finally {
    await draft.discard()
  }
}

async function takeLayer(
  { layers, pin }: MakeContext,
  unpacked: string,
  { id, blobs }: SnapshotManifest['layers'][number],
): Promise<Layer> {
  const known = layers.find(id)
  if (known) {
    pin(known)
    return known
  }
  const tree = join(unpacked, id, 't')
  for (const path of [join(unpacked, id), tree]) {
    const isFolder = await lstat(path).then(
      (found) => found.isDirectory(),
      () => false,
    )
    if (!isFolder) throw new SnapshotError(`the export lacks its layer ${id}`)
  }
  const draft = await layers.draft()
  try {
    await rmdir(draft.tree)
    await rename(tree, draft.tree)
    return await draft.commit({ id, blobs, pin })
  } catch (error) {
    await draft.discard()
    throw error
  }
}

async function readManifest(path: string): Promise<SnapshotManifest> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined)
  if (file === undefined) throw new SnapshotError('it is not an export of a snapshot')
  try {
    if ((await file.stat()).size > MAX_MANIFEST_BYTES) throw new SnapshotError('its description is too long')
    const manifest: unknown = JSON.parse(await file.readFile('utf8'))
    if (Value.Check(SnapshotManifest, manifest)) return manifest
  } catch (cause) {
    throw new SnapshotError('its description cannot be read', { cause })
  } finally {
    await file.close()
  }
  throw new SnapshotError('its description is not one this runner understands')
}
