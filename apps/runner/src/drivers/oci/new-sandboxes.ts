import type { SandboxSpec, StartSandbox } from '@atoll/protocol'
import type { ForkContext } from './disks/fork-disk.ts'
import { forkDisk } from './disks/fork-disk.ts'
import type { KnownSandbox } from './known-sandbox.ts'
import { newSandbox } from './known-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import { draftSandboxFolder, makeSandboxFolder } from './sandbox-folder.ts'
import type { ToolboxOrigin } from './start-toolbox.ts'
import { startToolbox } from './start-toolbox.ts'

export interface NewSandboxesOptions {
  host: OciHost
  /** Bounds how many sandboxes are made and started at once. */
  limit: <Result>(work: () => Promise<Result>) => Promise<Result>
  /** Throws what `create` throws for an invalid spec. */
  check: (spec: SandboxSpec) => void
  originOf: (spec: SandboxSpec) => ToolboxOrigin
  /** Returns the sandbox that a fork is made from. Throws SANDBOX_NOT_FOUND. */
  parentOf: (sandboxId: string) => ForkContext['parent']
  /** Called when the sandbox's files are there, before it starts. */
  onMade: (sandbox: KnownSandbox) => void
}

/** Makes sandboxes that do not exist yet. */
export interface NewSandboxes {
  /** Specs of the sandboxes that are being made, by id: their snapshots and volumes must not be removed meanwhile. */
  readonly underWay: ReadonlyMap<string, SandboxSpec>
  /** Makes the sandbox's files. Throws what a driver's `create` throws. */
  create(sandboxId: string, spec: SandboxSpec): Promise<KnownSandbox>
  /** Makes the files and starts the sandbox, partly at the same time; not for a fork. Throws what `create` and `start` throw. */
  launch(sandboxId: string, spec: SandboxSpec, start: StartSandbox): Promise<KnownSandbox>
}

export function createNewSandboxes(options: NewSandboxesOptions): NewSandboxes {
  const { host, limit } = options
  const { disks } = host
  const underWay = new Map<string, SandboxSpec>()

  const make = async (sandboxId: string, spec: SandboxSpec, work: (sandbox: KnownSandbox) => Promise<void>) => {
    options.check(spec)
    const sandbox = newSandbox(host, sandboxId, spec)
    underWay.set(sandboxId, spec)
    try {
      await disks.assertRoom()
      await work(sandbox)
    } finally {
      underWay.delete(sandboxId)
    }
    return sandbox
  }
  const makeDisk = ({ record }: KnownSandbox, draft: string): Promise<void> => {
    const { forkOf } = record.spec
    if (forkOf === undefined) return limit(() => disks.create(draft, record))
    return forkDisk({ host, parent: options.parentOf(forkOf), limit }, { draft, record })
  }
  return {
    underWay,
    create: (sandboxId, spec) =>
      make(sandboxId, spec, (sandbox) => {
        const { folder, record } = sandbox
        const fill = (draft: string) => makeDisk(sandbox, draft)
        return makeSandboxFolder(folder, { record, disks, fill, onKept: () => options.onMade(sandbox) })
      }),
    launch: (sandboxId, spec, start) =>
      make(sandboxId, spec, async (sandbox) => {
        const { folder, record } = sandbox
        const origin = options.originOf(spec)
        await limit(async () => {
          const fill = (draft: string) => disks.create(draft, record)
          const draft = draftSandboxFolder(folder, { record, disks, fill, onKept: () => options.onMade(sandbox) })
          try {
            sandbox.running = await startToolbox(host, sandbox, { origin, start, draft })
          } finally {
            await draft.flush()
          }
        })
      }),
  }
}
