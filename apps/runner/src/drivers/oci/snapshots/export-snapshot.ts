import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ImageConfig } from '@atoll/protocol'
import type { Static } from 'typebox'
import { Type } from 'typebox'
import type { OciHost } from '../oci-host.ts'
import { packFiles } from './copy-files.ts'
import { MAX_LAYERS } from './finish-snapshot.ts'
import type { Layer } from './layer-store.ts'
import type { SnapshotRecord } from './snapshot-record.ts'

/** Name of the first file in an export; the layers follow as `<id>/t/…`, the lowest first. */
export const MANIFEST_NAME = 'atoll-snapshot.json'

/** The description of a snapshot in its export. */
export const SnapshotManifest = Type.Object({
  format: Type.Literal(1),
  /** Topmost first. */
  layers: Type.Array(
    Type.Object({
      id: Type.String({ pattern: '^[a-z0-9]{16}$' }),
      blobs: Type.Array(Type.String({ maxLength: 256 }), { maxItems: 16 }),
    }),
    { maxItems: MAX_LAYERS, minItems: 1 },
  ),
  base: Type.Optional(Type.Literal('host')),
  image: ImageConfig,
  digest: Type.Optional(Type.String({ maxLength: 256 })),
})
export type SnapshotManifest = Static<typeof SnapshotManifest>

/** Yields a snapshot with all its layers as one tar archive. Reading throws CommandError where it fails. */
export async function* exportSnapshot(options: {
  host: OciHost
  record: SnapshotRecord
  layers: readonly Layer[]
  signal: AbortSignal
}): AsyncGenerator<Buffer> {
  const { host, record, layers, signal } = options
  const manifest: SnapshotManifest = {
    format: 1,
    layers: layers.map(({ id, blobs }) => ({ id, blobs: [...blobs] })),
    image: record.image,
    ...(record.base === undefined ? {} : { base: record.base }),
    ...(record.digest === undefined ? {} : { digest: record.digest }),
  }
  const folder = await mkdtemp(join(host.folders.sockets, 'export-'))
  try {
    await writeFile(join(folder, MANIFEST_NAME), JSON.stringify(manifest))
    const trees = [...layers].reverse().map((layer) => `${layer.id}/t`)
    const names = [MANIFEST_NAME, `--directory=${host.folders.layers}`, ...trees]
    yield* packFiles({ folder, names, signal })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
