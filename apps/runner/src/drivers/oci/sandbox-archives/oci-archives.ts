import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { SandboxStatus, StagedArchive } from '@atoll/protocol'
import { AppError, ARCHIVE_ID } from '@atoll/protocol'
import { createConcurrencyLimit } from '../../../concurrency.ts'
import { isThere, writeFileWhole } from '../../../files.ts'
import type { ArchiveHolder, ArchiveName } from '../../archive-holder.ts'
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
/** Most archives that are packed or unpacked at a time: each keeps a processor or a disk busy. */
const MAX_ARCHIVES = 2
/** Factor by which an archive may be larger than its files, for headers and compression that does not help. */
const MAX_GROWTH = 2
const SWEEP_MS = 60 * 60 * 1000

export interface OciArchivesOptions {
  host: OciHost
  hasZstd: boolean
  /** Returns a sandbox as it is now. Throws BAD_REQUEST and SANDBOX_NOT_FOUND. */
  find: (sandboxId: string) => StoppedSandbox
  /** Returns all sandboxes. */
  list: () => Iterable<StoppedSandbox>
  /** Calls `use` with a sandbox that does not change meanwhile. */
  withStillSandbox: <Result>(sandboxId: string, use: (sandbox: StillSandbox) => Promise<Result>) => Promise<Result>
  /** Calls `use` with a stopped sandbox; returns its status afterwards. Throws SANDBOX_STATE_CONFLICT. */
  withStoppedSandbox: (sandboxId: string, use: (sandbox: StoppedSandbox) => Promise<void>) => Promise<SandboxStatus>
}

export interface OciArchives extends ArchiveHolder {
  /** Removes files that a crash left, and begins to remove unused archives regularly. */
  open(): Promise<void>
  /** Aborts the receiving and the unpacking of archives for a sandbox that is to be removed. */
  abandon(sandboxId: string): void
  /** Aborts all copying. */
  close(): void
}

export function createOciArchives(options: OciArchivesOptions): OciArchives {
  return new Archives(options)
}

class Archives implements OciArchives {
  readonly #options: OciArchivesOptions
  readonly #closing = new AbortController()
  readonly #limit = createConcurrencyLimit(MAX_ARCHIVES)
  /** The archive that each sandbox is receiving: a later call ends an earlier one. */
  readonly #arrivals = new Map<string, { over: AbortController; settled: Promise<unknown> }>()
  /** Archives that are being unpacked or wait for their turn, even if their callers are gone. */
  readonly #unpackings = new Set<{ sandboxId: string; over: AbortController }>()
  #working = 0
  #sweep: NodeJS.Timeout | undefined

  constructor(options: OciArchivesOptions) {
    this.#options = options
  }

  async open(): Promise<void> {
    await this.#sweepAll()
    this.#sweep = setInterval(() => void this.#sweepAll(), SWEEP_MS)
    this.#sweep.unref()
  }

  abandon(sandboxId: string): void {
    const reason = new AppError('SERVICE_UNAVAILABLE', 'the sandbox is being removed')
    this.#arrivals.get(sandboxId)?.over.abort(reason)
    for (const unpacking of this.#unpackings) {
      if (unpacking.sandboxId === sandboxId) unpacking.over.abort(reason)
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
    // The sandbox need not be frozen for an archive that is already staged.
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

  async receive(name: ArchiveName, { from, content }: Parameters<ArchiveHolder['receive']>[1]) {
    const { sandboxId, archiveId } = name
    this.#filesOf(name)
    const { folder, record } = this.#options.find(sandboxId)
    const maxBytes = currentSpec(record).limits.diskGiB * GIB * MAX_GROWTH
    const over = new AbortController()
    const signal = AbortSignal.any([over.signal, this.#closing.signal])
    const earlier = this.#arrivals.get(sandboxId)
    earlier?.over.abort(new AppError('SERVICE_UNAVAILABLE', 'the archive is sent by another call'))
    const work = (async () => {
      await earlier?.settled.catch(() => undefined)
      return await receiveArchive({ folder, archiveId, from, content, maxBytes, signal })
    })()
    const arrival = { over, settled: work }
    this.#arrivals.set(sandboxId, arrival)
    try {
      return await work
    } catch (error) {
      // The signal's reason says more than the error of the work that it cut short.
      signal.throwIfAborted()
      throw error
    } finally {
      if (this.#arrivals.get(sandboxId) === arrival) this.#arrivals.delete(sandboxId)
    }
  }

  async unpack(name: ArchiveName, whole: Parameters<ArchiveHolder['unpack']>[1]): Promise<SandboxStatus> {
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
          // After a crash before this line, the same archive is unpacked once more.
          await writeFileWhole(files.unpacked, '')
          await rm(files.incoming, { force: true })
        })
      })
    } catch (error) {
      // The signal's reason says more than the error of the work that it cut short.
      signal.throwIfAborted()
      throw error
    } finally {
      this.#unpackings.delete(unpacking)
    }
  }

  /** Returns the paths of an archive. Throws BAD_REQUEST and SANDBOX_NOT_FOUND. */
  #filesOf({ sandboxId, archiveId }: ArchiveName): ArchiveFiles {
    const { folder } = this.#options.find(sandboxId)
    if (!ARCHIVE_ID.test(archiveId)) throw new AppError('BAD_REQUEST', 'an archive is named by a UUID')
    return archiveFiles(folder, archiveId)
  }

  /** Waits for a place before it takes the sandbox's turn, so that the sandbox does not wait meanwhile. */
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
    const { host, list } = this.#options
    for (const { folder } of list()) {
      try {
        await sweepArchives(folder, { now: Date.now(), isBusy: this.#working > 0 })
      } catch (error) {
        host.log.warn({ err: error, folder: folder.path }, 'cannot remove archives that nobody wants')
      }
    }
  }
}
