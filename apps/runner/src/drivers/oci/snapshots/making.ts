import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { MakeSnapshot, RunnerSnapshot, RunnerSnapshotState } from '@atoll/protocol'
import { AppError, DEFAULT_SNAPSHOT_GIB } from '@atoll/protocol'
import type { OciHost } from '../oci-host.ts'
import type { PreparedBuild } from './build-image.ts'
import { equipSnapshot, proveSnapshot } from './finish-snapshot.ts'
import type { LayerStore } from './layer-store.ts'
import type { MakeContext, SnapshotContent } from './make-context.ts'
import { ContentCutOff, reasonOf, roomFor, SnapshotError } from './make-context.ts'
import type { OpenSnapshotLog } from './snapshot-log.ts'
import { createSnapshotLog } from './snapshot-log.ts'
import type { SnapshotDraft, SnapshotFolders, SnapshotRecord } from './snapshot-record.ts'
import { NO_IMAGE_CONFIG } from './snapshot-record.ts'
import type { SnapshotSources } from './snapshot-sources.ts'

/** How long each step may take, in milliseconds. */
const PULL_DEADLINE_MS = 15 * 60_000
const BUILD_DEADLINE_MS = 30 * 60_000
const VALIDATE_DEADLINE_MS = 10 * 60_000

/** The parts that all makings share. */
export interface MakingTools {
  host: OciHost
  layers: LayerStore
  folders: SnapshotFolders
  sources: SnapshotSources
  /** Bounds how many snapshots are made at the same time. */
  limit: Limit
  /** Bounds how many contents arrive at the same time. */
  limitContent: Limit
  onChange: (making: Making) => void
  /** Called when a snapshot is `active` or `error`. Its record is on disk, except an `error` that could not be written. */
  onKept: (record: SnapshotRecord) => Promise<void>
}

type Limit = <Result>(work: () => Promise<Result>) => Promise<Result>

interface Wish {
  ref: string
  wanted: MakeSnapshot
  source: string
}

interface Delivery {
  content: Readable
  /** Resolves the sender's call. */
  taken: () => void
  cutOff: (error: unknown) => void
}

/** What a making writes to, from its begin on. */
interface Opened {
  draft: SnapshotDraft
  log: OpenSnapshotLog
}

/** The making of one snapshot, from the request to `active` or `error`. */
export class Making {
  readonly source: string
  /** Layers made or found for the snapshot so far. */
  readonly layerIds = new Set<string>()
  readonly #tools: MakingTools
  readonly #wish: Wish
  readonly #abort = new AbortController()
  #state: RunnerSnapshotState = 'pending'
  #needsContent = false
  #content = deferred<Delivery>()
  #opened: Promise<Opened> | undefined
  #done: Promise<void> = Promise.resolve()

  constructor(tools: MakingTools, wish: Wish) {
    this.#tools = tools
    this.#wish = wish
    this.source = wish.source
    this.#needsContent = tools.sources.needsContent(wish.wanted.source)
  }

  /** Begins the making; to be called once. */
  begin(): void {
    this.#done = this.#run().catch((error: unknown) => {
      this.#tools.host.log.error({ err: error, ref: this.#wish.ref }, 'the making of a snapshot left something behind')
    })
    // The sender's call resolves once the outcome can be seen.
    void this.#done.then(() => this.#content.promise.then(({ taken }) => taken()))
  }

  view(): RunnerSnapshot {
    const { ref, wanted } = this.#wish
    const { kind } = wanted.source
    return {
      ref,
      state: this.#state,
      kind,
      needsContent: this.#needsContent,
      sizeGiB: 0,
      image: NO_IMAGE_CONFIG,
      users: [],
    }
  }

  /** Resolves when the content was read, or at once where no content is awaited. Throws when the content was cut off. */
  async takeContent(content: Readable): Promise<void> {
    if (!this.#needsContent) return
    this.#needsContent = false
    await new Promise<void>((resolve, reject) => this.#content.resolve({ content, taken: resolve, cutOff: reject }))
  }

  /** Opens the log as it is now. The open file stays readable when the snapshot is kept or given up. */
  async openLog(): Promise<{ path: string; file: FileHandle; log: OpenSnapshotLog } | undefined> {
    const opened = await this.#opened?.catch(() => undefined)
    if (opened === undefined) return undefined
    const { logPath: path } = opened.draft
    const file = await open(path, 'r').catch(() => undefined)
    // The snapshot was kept meanwhile: its log has another path now.
    return file && { path, file, log: opened.log }
  }

  /** Aborts the making, and leaves no files of it. */
  async giveUp(): Promise<void> {
    this.#abort.abort(new AppError('SNAPSHOT_NOT_FOUND', 'the snapshot was deleted'))
    await this.#done
  }

  async #open(): Promise<Opened> {
    const draft = await this.#tools.folders.draft(this.#wish.ref)
    try {
      return { draft, log: await createSnapshotLog(draft.logPath) }
    } catch (error) {
      await draft.discard()
      throw error
    }
  }

  async #run(): Promise<void> {
    const { onKept } = this.#tools
    this.#opened = this.#open()
    let opened: Opened
    try {
      opened = await this.#opened
    } catch (error) {
      return await onKept(this.#failure(error))
    }
    const { draft, log } = opened
    try {
      const record = await this.#makeOrFail(log)
      if (record === undefined) return
      // The log ends after the state was set, so that a caller who followed the log finds the outcome.
      await onKept(await this.#keep(record, opened))
    } finally {
      await log.end().finally(() => draft.discard())
    }
  }

  /** Returns the outcome; undefined when the snapshot was given up. */
  async #makeOrFail(log: OpenSnapshotLog): Promise<SnapshotRecord | undefined> {
    try {
      return await this.#make(log)
    } catch (error) {
      if (this.#abort.signal.aborted) return undefined
      const record = this.#failure(error)
      log.append(`error: ${record.reason}`)
      return record
    }
  }

  /** Writes the outcome down. Returns an `error` in its place where that fails, so that nobody waits for the snapshot. */
  async #keep(record: SnapshotRecord, { draft, log }: Opened): Promise<SnapshotRecord> {
    try {
      await log.close()
      await draft.keep(record)
      return record
    } catch (error) {
      return record.state === 'error' ? record : this.#failure(error)
    }
  }

  #failure(error: unknown): SnapshotRecord {
    const { ref, wanted } = this.#wish
    const { host } = this.#tools
    host.log.warn({ err: error, ref }, 'a snapshot was not made')
    const reason = reasonOf(error, host)
    const nothing = { layers: [], image: NO_IMAGE_CONFIG, accounts: [] }
    return { ref, state: 'error', reason, kind: wanted.source.kind, source: this.source, ...nothing }
  }

  async #make(log: OpenSnapshotLog): Promise<SnapshotRecord> {
    const needsContent = this.#tools.sources.needsContent(this.#wish.wanted.source)
    for (;;) {
      const delivery = needsContent ? await this.#waitForContent() : undefined
      try {
        return await this.#makeOnce(log, delivery)
      } catch (error) {
        if (!(error instanceof ContentCutOff) || this.#abort.signal.aborted) throw error
        log.append('the content was cut off on its way')
        this.layerIds.clear()
        this.#content = deferred()
        this.#needsContent = true
        this.#enter('pending')
        delivery?.cutOff(new AppError('BAD_REQUEST', 'the content was cut off on its way', { cause: error }))
      }
    }
  }

  /** Waits for the content. Throws when the snapshot is given up first. */
  #waitForContent(): Promise<Delivery> {
    const { signal } = this.#abort
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason)
      signal.addEventListener('abort', onAbort)
      if (signal.aborted) onAbort()
      void this.#content.promise.then((delivery) => {
        signal.removeEventListener('abort', onAbort)
        resolve(delivery)
      })
    })
  }

  async #makeOnce(log: OpenSnapshotLog, delivery: Delivery | undefined): Promise<SnapshotRecord> {
    const { limit, limitContent } = this.#tools
    // A content may arrive slowly, so it is received without taking a place of `limit`.
    const sent = delivery && (await this.#inTurn(limitContent, () => this.#gather(log, delivery)))
    try {
      return await this.#inTurn(limit, async () => this.#finish(log, sent ?? (await this.#gather(log, undefined))))
    } finally {
      if (sent && 'build' in sent) await sent.discard()
    }
  }

  /** Runs the work when a place is free; does not run it if the snapshot is given up before. */
  #inTurn<Result>(limit: Limit, work: () => Promise<Result>): Promise<Result> {
    const { signal } = this.#abort
    return new Promise((resolve, reject) => {
      let isBegun = false
      const onAbort = () => {
        // Work that has begun ends by itself, and cleans up.
        if (!isBegun) reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort)
      if (signal.aborted) onAbort()
      limit(async () => {
        if (signal.aborted) return
        isBegun = true
        resolve(await work())
      })
        .catch(reject)
        .finally(() => signal.removeEventListener('abort', onAbort))
    })
  }

  async #finish(log: OpenSnapshotLog, gathered: SnapshotContent | PreparedBuild): Promise<SnapshotRecord> {
    const { ref, wanted } = this.#wish
    const { kind } = wanted.source
    const content = 'build' in gathered ? await this.#build(log, gathered) : gathered
    this.#enter('validating', log)
    const finished = await this.#within(VALIDATE_DEADLINE_MS, log, async (context) => {
      const equipped = await equipSnapshot(context, content)
      await proveSnapshot(context, equipped)
      return equipped
    })
    log.append('active')
    const { base, image, accounts, digest } = finished
    return {
      ...{ ref, state: 'active', kind, source: this.source, image, accounts },
      layers: finished.layers.map((layer) => layer.id),
      ...(base === undefined ? {} : { base }),
      ...(digest === undefined ? {} : { digest }),
    }
  }

  async #gather(log: OpenSnapshotLog, delivery: Delivery | undefined): Promise<SnapshotContent | PreparedBuild> {
    const { sources } = this.#tools
    const { source } = this.#wish.wanted
    this.#enter('pulling', log)
    const gathered = await this.#within(PULL_DEADLINE_MS, log, (context) =>
      sources.gather(context, { source, content: delivery?.content }),
    )
    delivery?.taken()
    return gathered
  }

  async #build(log: OpenSnapshotLog, { build, discard }: PreparedBuild): Promise<SnapshotContent> {
    this.#enter('building', log)
    try {
      return await this.#within(BUILD_DEADLINE_MS, log, build)
    } finally {
      await discard()
    }
  }

  async #within<Result>(
    deadlineMs: number,
    log: OpenSnapshotLog,
    work: (context: MakeContext) => Promise<Result>,
  ): Promise<Result> {
    const { host, layers, sources } = this.#tools
    const { maxSizeGiB = DEFAULT_SNAPSHOT_GIB } = this.#wish.wanted
    const late = new SnapshotError(`it took longer than ${deadlineMs / 60_000} minutes`)
    const clock = new AbortController()
    const timer = setTimeout(() => clock.abort(late), deadlineMs)
    const signal = AbortSignal.any([this.#abort.signal, clock.signal])
    try {
      signal.throwIfAborted()
      return await work({
        ...{ host, layers, log, signal, hasZstd: sources.hasZstd },
        giveUp: (reason) => clock.abort(reason),
        sockets: host.folders.sockets,
        pin: (layer) => this.layerIds.add(layer.id),
        maxBytes: await roomFor(host.folders.layers, maxSizeGiB),
      })
    } catch (error) {
      // After a timeout or giveUp, its reason replaces the error that followed from it.
      throw clock.signal.aborted ? clock.signal.reason : error
    } finally {
      clearTimeout(timer)
    }
  }

  #enter(state: RunnerSnapshotState, log?: OpenSnapshotLog): void {
    this.#state = state
    log?.append(state)
    this.#tools.onChange(this)
  }
}

interface Deferred<Value> {
  readonly promise: Promise<Value>
  resolve(value: Value): void
}

function deferred<Value>(): Deferred<Value> {
  let resolve: (value: Value) => void = () => undefined
  const promise = new Promise<Value>((fulfil) => {
    resolve = fulfil
  })
  return { promise, resolve: (value) => resolve(value) }
}
