import type { KnownSandbox } from './known-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import type { StillSandbox } from './snapshots/sandbox-files.ts'

/** Lends a sandbox while none of its processes runs. */
export async function holdStill<Result>(
  { cgroups }: Pick<OciHost, 'cgroups'>,
  { sandboxId, folder, record, running }: KnownSandbox,
  use: (still: StillSandbox) => Promise<Result>,
): Promise<Result> {
  if (running) await cgroups.freeze(sandboxId)
  try {
    return await use({ folder, record, running })
  } finally {
    if (running) await cgroups.thaw(sandboxId)
  }
}
