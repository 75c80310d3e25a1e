import type { ResizeSandbox, SandboxLimits } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { KnownSandbox } from './known-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import { growDiskImage } from './sandbox-disk.ts'
import { currentSpec } from './sandbox-folder.ts'

/**
 * Gives a sandbox other limits, at once where it runs, and returns them. Throws SANDBOX_STATE_CONFLICT for a change that is
 * only possible while it is stopped, and BAD_REQUEST for a smaller disk. /dev/shm has its new size from the next start on.
 */
export async function resizeSandbox(
  host: OciHost,
  { sandboxId, folder, record, running }: KnownSandbox,
  wanted: ResizeSandbox,
): Promise<SandboxLimits> {
  const { limits } = currentSpec(record)
  const next = { ...limits, ...wanted }
  if (next.diskGiB < limits.diskGiB) throw new AppError('BAD_REQUEST', 'the disk of a sandbox does not get smaller')
  if (running) {
    if (next.diskGiB > limits.diskGiB) throw whileStopped('the disk of a sandbox grows')
    if (next.memoryGiB < limits.memoryGiB) throw whileStopped('the memory of a sandbox gets smaller')
    await host.cgroups.limit(sandboxId, next)
  } else if (next.diskGiB > limits.diskGiB && record.disk === 'image') {
    await growDiskImage(await host.disks.reach(folder.image), next.diskGiB, host.run)
  }
  return next
}

function whileStopped(what: string): AppError {
  return new AppError('SANDBOX_STATE_CONFLICT', `${what} only while it is stopped`)
}
