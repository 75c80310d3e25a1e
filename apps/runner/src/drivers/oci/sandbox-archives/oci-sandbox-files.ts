import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { SandboxStatus, StagedArchive } from '@atoll/protocol'
import { AppError, ARCHIVE_ID } from '@atoll/protocol'
import { createConcurrencyLimit } from '../../../concurrency.ts'
import { isThere, writeFileWhole } from '../../../files.ts'
import type { ArchiveName, SandboxFileHolder } from '../../sandbox-file-holder.ts'
import type { OciHost } from '../oci-host.ts'
import { currentSpec } from '../sandbox-folder.ts'
import type { StillSandbox } from '../snapshots/sandbox-files.ts'
import type { ArchiveFiles } from './archives-folder.ts'
import { archiveFiles, readFacts, sweepArchives } from './archives-folder.ts'
import { arrivedOf, checkArrived, receiveArchive } from './incoming.ts'
import { discardArchive, packArchive, readArchive } from './outgoing.ts'
import type { StoppedSandbox } from './replace-files.ts'
import { replaceFiles } from './replace-files.ts'

const GIB = 1024 ** 3
/** Archives that are packed or unpacked at a time: each keeps a processor or a disk busy. */
const MAX_ARCHIVES = 2
/** What packing may add to files that cannot be made smaller: headers, and a packing's own bytes. */
const MAX_GROWTH = 2
const SWEEP_MS = 60 * 60 * 1000

export interface OciSandboxFilesOptions {
  host: OciHost
  hasZstd: boolean
  /** A sandbox as it is known now. Throws BAD_REQUEST and SANDBOX_NOT_FOUND. */
  find: (sandboxId: string) => StoppedSandbox
  /** All there are. */
  list: () => Iterable<StoppedSandbox>
  /** Lends a sandbox that does not change meanwhile. */
  withStillSandbox: <Result>(sandboxId: string, use: (sandbox: StillSandbox) => Promise<Result>) => Promise<Result>
  /** Lends one that does not run; answers its status afterwards. Throws SANDBOX_STATE_CONFLICT. */
  withStoppedSandbox: (sandboxId: string, use: (sandbox: StoppedSandbox) => Promise<void>) => Promise<SandboxStatus>
}

export interface OciSandboxFiles extends SandboxFileHolder {
  /** Removes what a crash has left, and begins to remove what nobody wants any more. */
  open(): Promise<void>
  /** Cuts short the unpacking of what is to be removed. */
  abandon(sandboxId: string): void
  /** Cuts short what is being copied. */
  close(): void
}

export function createOciSandboxFiles(options: OciSandboxFilesOptions): OciSandboxFiles {
  return new SandboxArchives(options)
}

class SandboxArchives implements OciSandboxFiles {
  readonly #options: OciSandboxFilesOptions
  readonly #closing = new AbortController()
  readonly #limit = createConcurrencyLimit(MAX_ARCHIVES)
  /** What comes in, by sandbox: a later try ends an earlier one. */
  readonly #arrivals = new Map<string, { over: AbortController; settled: Promise<unknown> }>()
  /** What is unpacked or waits for its turn, whoever still waits for it. */
  readonly #unpackings = new Set<{ sandboxId: string; over: AbortController }>()
  #working = 0
  #sweep: NodeJS.Timeout | undefined

  constructor(options: OciSandboxFilesOptions) {
    this.#options = options
  }

  async open(): Promise<void> {
    await this.#sweepAll()
    this.#sweep = setInterval(() => {
      void this.#sweepAll().catch((error: unknown) => {
        this.#options.host.log.warn({ err: error }, 'cannot remove archives that nobody wants')
      })
    }, SWEEP_MS)
    this.#sweep.unref()
  }

  abandon(sandboxId: string): void {
    for (const unpacking of this.#unpackings) {
      if (unpacking.sandboxId !== sandboxId) continue
      unpacking.over.abort(new AppError('SERVICE_UNAVAILABLE', 'the sandbox is being removed'))
    }
  }

  close(): void {
    clearInterval(this.#sweep)
    this.#closing.abort(new AppError('SERVICE_UNAVAILABLE', 'the runner is shutting down'))
  }

  async stage(name: ArchiveName, signal: AbortSignal): Promise<StagedArchive> {
    const files = this.#filesOf(name)
    const { host, hasZstd, withStillSandbox } = this.#options
    const over = AbortSignal.any([signal, this.#closing.signal])
    // Before it has to stand still, which it need not for what lies ready.
    const ready = await readFacts(files)
    if (ready !== undefined) return ready
    return await this.#work(() => {
      over.throwIfAborted()
      return withStillSandbox(name.sandboxId, async (sandbox) => {
        over.throwIfAborted()
        const { archiveId } = name
        return (await readFacts(files)) ?? (await packArchive({ host, hasZstd, sandbox, archiveId, signal: over }))
      })
    })
  }

  async read(name: ArchiveName, span: { from: number; bytes: number }) {
    return await readArchive(this.#filesOf(name), span)
  }

  async discard(name: ArchiveName): Promise<void> {
    await discardArchive(this.#filesOf(name))
  }

  async arrived(name: ArchiveName) {
    return await arrivedOf(this.#filesOf(name))
  }

  async receive(name: ArchiveName, { from, content }: Parameters<SandboxFileHolder['receive']>[1]) {
    const { sandboxId, archiveId } = name
    this.#filesOf(name)
    const { folder, record } = this.#options.find(sandboxId)
    const maxBytes = currentSpec(record).limits.diskGiB * GIB * MAX_GROWTH
    const over = new AbortController()
    const signal = AbortSignal.any([over.signal, this.#closing.signal])
    const earlier = this.#arrivals.get(sandboxId)
    earlier?.over.abort(new AppError('CONFLICT', 'the archive is sent by another call'))
    const work = (async () => {
      await earlier?.settled.catch(() => undefined)
      return await receiveArchive({ folder, archiveId, from, content, maxBytes, signal })
    })()
    const arrival = { over, settled: work }
    this.#arrivals.set(sandboxId, arrival)
    try {
      return await work
    } finally {
      if (this.#arrivals.get(sandboxId) === arrival) this.#arrivals.delete(sandboxId)
    }
  }

  async unpack(name: ArchiveName, whole: Parameters<SandboxFileHolder['unpack']>[1]): Promise<SandboxStatus> {
    const files = this.#filesOf(name)
    const { host, hasZstd, withStoppedSandbox } = this.#options
    const { sandboxId } = name
    const unpacking = { sandboxId, over: new AbortController() }
    const signal = AbortSignal.any([unpacking.over.signal, this.#closing.signal])
    this.#unpackings.add(unpacking)
    try {
      return await this.#work(() => {
        signal.throwIfAborted()
        return withStoppedSandbox(sandboxId, async (sandbox) => {
          if (await isThere(files.unpacked)) return
          await checkArrived(files, whole, signal)
          await replaceFiles({ host, hasZstd, sandbox, content: createReadStream(files.incoming), signal })
          // After a crash before this, the same is done once more.
          await writeFileWhole(files.unpacked, '')
          await rm(files.incoming, { force: true })
        })
      })
    } catch (error) {
      // Whatever was cut short says only that it was.
      signal.throwIfAborted()
      throw error
    } finally {
      this.#unpackings.delete(unpacking)
    }
  }

  /** Throws BAD_REQUEST and SANDBOX_NOT_FOUND. */
  #filesOf({ sandboxId, archiveId }: ArchiveName): ArchiveFiles {
    const { folder } = this.#options.find(sandboxId)
    if (!ARCHIVE_ID.test(archiveId)) throw new AppError('BAD_REQUEST', 'an archive is named by a UUID')
    return archiveFiles(folder, archiveId)
  }

  /** Waits for its turn before the sandbox has to wait for it. */
  async #work<Result>(work: () => Promise<Result>): Promise<Result> {
    return await this.#limit(async () => {
      this.#working += 1
      try {
        return await work()
      } finally {
        this.#working -= 1
      }
    })
  }

  async #sweepAll(): Promise<void> {
    for (const { folder } of this.#options.list()) {
      await sweepArchives(folder, { now: Date.now(), isBusy: this.#working > 0 })
    }
  }
}
