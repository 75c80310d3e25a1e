import { writeLayer } from './file-layers.ts'
import type { MakeContext, SnapshotContent } from './make-context.ts'
import { packUpper } from './sandbox-files.ts'
import type { SnapshotSourcesOptions } from './snapshot-sources.ts'

/** Returns the files that a sandbox has changed, over the layers it was made from. The sandbox is frozen meanwhile. */
export async function readSandbox(
  context: MakeContext,
  {
    sandboxId,
    originOf,
    withStillSandbox,
  }: { sandboxId: string } & Pick<SnapshotSourcesOptions, 'originOf' | 'withStillSandbox'>,
): Promise<SnapshotContent> {
  return withStillSandbox(sandboxId, async (sandbox) => {
    const origin = originOf(sandboxId)
    for (const layer of origin.layers) context.pin(layer)
    const name =
      sandbox.running === undefined ? 'files of the stopped sandbox' : 'files of the sandbox, which stands still'
    const top = await writeLayer(context, packUpper(context, sandbox), { kind: 'layer', name })
    return { ...origin, layers: [top, ...origin.layers] }
  })
}
