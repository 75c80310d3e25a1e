import type { KnownSandbox } from './known-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import type { StillSandbox } from './snapshots/sandbox-files.ts'

export interface HoldStillOptions<Result> {
  use: (still: StillSandbox) => Promise<Result>
  /** Bounds how many sandboxes are frozen at once: a sandbox runs on while it waits for its place. */
  limit: (work: () => Promise<Result>) => Promise<Result>
}

/** Calls `use` with a sandbox, in its turn, while none of its processes runs. */
export function holdStill<Result>(
  { cgroups }: Pick<OciHost, 'cgroups'>,
  { sandboxId, folder, record, running }: KnownSandbox,
  { use, limit }: HoldStillOptions<Result>,
): Promise<Result> {
  // The place is taken inside the sandbox's turn, because an earlier call in its queue may itself wait for a place.
  return limit(async () => {
    if (running) await cgroups.freeze(sandboxId)
    try {
      return await use({ folder, record, running })
    } finally {
      if (running) await cgroups.thaw(sandboxId)
    }
  })
}
