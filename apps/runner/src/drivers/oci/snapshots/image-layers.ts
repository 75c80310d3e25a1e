import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { writePackedLayer } from './file-layers.ts'
import type { Layer } from './layer-store.ts'
import type { MakeContext, SnapshotContent } from './make-context.ts'
import { SnapshotError } from './make-context.ts'
import { readImageLayout } from './oci-layout.ts'

/**
 * Unpacks the image of a layout; layers that this runner has already are not unpacked again. `isChecked`: the program that
 * wrote the layout has checked its blobs against their digests. Otherwise they are checked here, so that no build gets a
 * layer by its digest alone.
 */
export async function readImage(
  context: MakeContext,
  folder: string,
  { isChecked }: { isChecked: boolean },
): Promise<SnapshotContent> {
  const { digest, config, layers: blobs } = await readImageLayout(folder)
  const layers: Layer[] = []
  let bytes = 0
  for (const { digest: blob, path } of blobs) {
    if (!isChecked) await checkBlob(path, blob)
    const known = context.layers.findBlob(blob)
    if (known) context.pin(known)
    const name = `layer ${blob.slice(7, 19)}`
    const maxBytes = context.maxBytes - bytes
    if (known) context.log.append(`${name}: is here already`)
    const layer =
      known ?? (await writePackedLayer(context, createReadStream(path), { kind: 'image', name, maxBytes, blob }))
    bytes += layer.bytes
    if (bytes > context.maxBytes)
      throw new SnapshotError(`it takes more than ${(context.maxBytes / 1024 ** 3).toFixed(2)} GiB`)
    layers.unshift(layer)
  }
  if (layers.length === 0) throw new SnapshotError('the image has no files')
  return { layers, image: config, digest }
}

async function checkBlob(path: string, digest: string): Promise<void> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  if (`sha256:${hash.digest('hex')}` !== digest)
    throw new SnapshotError('a layer of the image does not have its digest')
}
