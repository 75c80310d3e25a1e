import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { ImageConfig, MakeSnapshot, RunnerSnapshot } from '@atoll/protocol'
import { AppError, SnapshotRef } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { createConcurrencyLimit } from '../../../concurrency.ts'
import { isThere } from '../../../files.ts'
import type { SnapshotHolder, SnapshotListener } from '../../snapshot-holder.ts'
import type { OciHost } from '../oci-host.ts'
import type { Snapshot } from '../snapshot.ts'
import { exportSnapshot } from './export-snapshot.ts'
import { runnable } from './finish-snapshot.ts'
import type { Layer, LayerStore } from './layer-store.ts'
import { openLayerStore } from './layer-store.ts'
import type { MakingTools } from './making.ts'
import { Making } from './making.ts'
import { readSnapshotLog } from './snapshot-log.ts'
import type { SnapshotFolders, SnapshotRecord } from './snapshot-record.ts'
import { NO_IMAGE_CONFIG, openSnapshotFolders } from './snapshot-record.ts'
import type { SnapshotSources } from './snapshot-sources.ts'
import { comparableSource } from './snapshot-sources.ts'

/** Most snapshots that are made at the same time. */
const MAX_CONCURRENT_MAKINGS = 2
/** Most contents that arrive at the same time. */
const MAX_CONCURRENT_CONTENTS = 8
const GIB = 1024 ** 3

/** A snapshot that sandboxes can be started from. */
export interface UsableSnapshot {
  snapshot: Snapshot
  image: ImageConfig
}

export interface OciSnapshots extends SnapshotHolder {
  /** Returns the refs of the active snapshots. */
  activeRefs(): string[]
  /** Returns a snapshot that sandboxes can be started from. Throws SNAPSHOT_NOT_FOUND and SNAPSHOT_NOT_ACTIVE. */
  resolve(ref: string): UsableSnapshot
  /** Returns the layers below a sandbox of this snapshot. Throws as `resolve` does. */
  layersOf(ref: string): Pick<SnapshotRecord, 'base' | 'image'> & { layers: Layer[] }
  /** Gives up all makings, and resolves when they have ended. */
  close(): Promise<void>
}

export interface OciSnapshotsOptions {
  host: OciHost
  sources: SnapshotSources
  /** Returns whether a sandbox, running or stopped, was made from this snapshot. */
  isUsed: (ref: string) => boolean
}

/** Opens the snapshots of the data folder; removes drafts that an interrupted making left. */
export async function openOciSnapshots(options: OciSnapshotsOptions): Promise<OciSnapshots> {
  const { folders, run } = options.host
  // Removes folders that trials and exports of an earlier run left.
  for (const name of await readdir(folders.sockets)) await rm(join(folders.sockets, name), { recursive: true })
  const layers = await openLayerStore(folders.layers, run)
  const { folders: records, records: kept } = await openSnapshotFolders(folders.refs)
  const known = kept.filter((record) => record.layers.every((id) => layers.find(id)))
  const snapshots = new Snapshots(options, { layers, records, known })
  await snapshots.removeUnusedLayers()
  return snapshots
}

type Held = { record: SnapshotRecord } | { making: Making }

class Snapshots implements OciSnapshots {
  readonly #options: OciSnapshotsOptions
  readonly #layers: LayerStore
  readonly #folders: SnapshotFolders
  readonly #held = new Map<string, Held>()
  readonly #listeners = new Set<SnapshotListener>()
  readonly #tools: MakingTools
  #isClosing = false

  constructor(
    options: OciSnapshotsOptions,
    stores: { layers: LayerStore; records: SnapshotFolders; known: readonly SnapshotRecord[] },
  ) {
    this.#options = options
    this.#layers = stores.layers
    this.#folders = stores.records
    for (const record of stores.known) this.#held.set(record.ref, { record })
    this.#tools = {
      host: options.host,
      layers: stores.layers,
      folders: stores.records,
      sources: options.sources,
      limit: createConcurrencyLimit(MAX_CONCURRENT_MAKINGS),
      limitContent: createConcurrencyLimit(MAX_CONCURRENT_CONTENTS),
      onChange: (making) => this.#tell(making.view()),
      onKept: async (record) => {
        this.#held.set(record.ref, { record })
        this.#tell(this.#viewOf(record))
        await this.removeUnusedLayers()
      },
    }
  }

  async list(): Promise<RunnerSnapshot[]> {
    const made = [...this.#held.values()].map((held) => this.#view(held))
    return [...[...this.#options.host.snapshots.keys()].map(builtinView), ...made]
  }

  async get(ref: string): Promise<RunnerSnapshot> {
    if (this.#options.host.snapshots.has(ref)) return builtinView(ref)
    return this.#view(this.#find(ref))
  }

  async make(ref: string, wanted: MakeSnapshot): Promise<RunnerSnapshot> {
    this.#assertOpen()
    assertRef(ref)
    if (this.#options.host.snapshots.has(ref)) throw new AppError('CONFLICT', `the snapshot ${ref} is built in`)
    const source = comparableSource(wanted)
    const held = this.#held.get(ref)
    if (held) {
      const known = 'making' in held ? held.making.source : held.record.source
      if (known === source) return this.#view(held)
      throw new AppError('CONFLICT', `snapshot ${ref} exists, made from something else`)
    }
    await this.#options.sources.assertPossible(wanted)
    // Another call may have begun this snapshot meanwhile.
    if (this.#held.has(ref)) return this.make(ref, wanted)
    const making = new Making(this.#tools, { ref, wanted, source })
    this.#held.set(ref, { making })
    making.begin()
    return making.view()
  }

  async takeContent(ref: string, content: Parameters<SnapshotHolder['takeContent']>[1]): Promise<RunnerSnapshot> {
    this.#assertOpen()
    const held = this.#find(ref)
    if ('making' in held) await held.making.takeContent(content)
    return this.get(ref)
  }

  async readLog(ref: string, options: { from: number; follow: boolean; signal: AbortSignal }) {
    if (this.#options.host.snapshots.has(ref)) return emptyLog()
    const held = this.#find(ref)
    const making = 'making' in held ? held.making : undefined
    const log = await making?.openLog()
    const path = log?.path ?? this.#folders.logPath(ref)
    // An error that could not be written down has no log.
    if (!(log || (await isThere(path)))) return emptyLog()
    const file = log?.file ?? (await open(path, 'r'))
    return readSnapshotLog(file, { ...options, follow: options.follow ? log?.log : undefined })
  }

  async export(ref: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    const { layers } = this.layersOf(ref)
    const held = this.#find(ref)
    if (!('record' in held)) throw new AppError('SNAPSHOT_NOT_ACTIVE', `snapshot ${ref} is still being made`)
    return exportSnapshot({ host: this.#options.host, record: held.record, layers, signal })
  }

  async remove(ref: string): Promise<void> {
    assertRef(ref)
    if (this.#options.host.snapshots.has(ref)) throw new AppError('SNAPSHOT_IN_USE', `the snapshot ${ref} is built in`)
    const held = this.#held.get(ref)
    if (held === undefined) return
    if ('making' in held) {
      await held.making.giveUp()
      // The making may have finished before it was given up.
      if (this.#held.get(ref) === held) this.#held.delete(ref)
      else return this.remove(ref)
    } else {
      if (this.#options.isUsed(ref))
        throw new AppError('SNAPSHOT_IN_USE', `snapshot ${ref} has sandboxes on this runner`)
      this.#held.delete(ref)
      await this.#folders.remove(ref)
    }
    await this.removeUnusedLayers()
  }

  onChange(listener: SnapshotListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  activeRefs(): string[] {
    const made = [...this.#held.values()].flatMap((held) =>
      'record' in held && held.record.state === 'active' ? [held.record.ref] : [],
    )
    return [...this.#options.host.snapshots.keys(), ...made]
  }

  resolve(ref: string): UsableSnapshot {
    const builtin = this.#options.host.snapshots.get(ref)
    if (builtin) return { snapshot: builtin, image: NO_IMAGE_CONFIG }
    const { layers, base, image, accounts } = this.#active(ref)
    const found = layers.flatMap((id) => this.#layers.find(id) ?? [])
    return { image, snapshot: runnable(this.#options, { ref, base, accounts, layers: found }) }
  }

  layersOf(ref: string) {
    if (this.#options.host.snapshots.has(ref)) return { layers: [], base: 'host' as const, image: NO_IMAGE_CONFIG }
    const { layers, base, image } = this.#active(ref)
    return {
      layers: layers.flatMap((id) => this.#layers.find(id) ?? []),
      image,
      ...(base === undefined ? {} : { base }),
    }
  }

  async close(): Promise<void> {
    this.#isClosing = true
    const makings = [...this.#held.values()].flatMap((held) => ('making' in held ? [held.making] : []))
    await Promise.all(makings.map((making) => making.giveUp()))
  }

  /** Removes layers that neither a snapshot nor a making uses. */
  async removeUnusedLayers(): Promise<void> {
    await this.#layers.removeUnused((id) =>
      [...this.#held.values()].some((held) =>
        'record' in held ? held.record.layers.includes(id) : held.making.layerIds.has(id),
      ),
    )
  }

  #active(ref: string): SnapshotRecord {
    const held = this.#find(ref)
    const record = 'record' in held ? held.record : undefined
    if (record?.state === 'active') return record
    throw new AppError('SNAPSHOT_NOT_ACTIVE', `snapshot ${ref} is ${this.#view(held).state} on this runner`)
  }

  #find(ref: string): Held {
    const held = this.#held.get(ref)
    if (held === undefined) throw new AppError('SNAPSHOT_NOT_FOUND', `there is no snapshot "${ref}" on this runner`)
    return held
  }

  #assertOpen(): void {
    if (this.#isClosing) throw new AppError('SERVICE_UNAVAILABLE', 'the runner is shutting down')
  }

  #view(held: Held): RunnerSnapshot {
    return 'making' in held ? held.making.view() : this.#viewOf(held.record)
  }

  #viewOf({ ref, state, reason, kind, layers, base, image, accounts, digest }: SnapshotRecord): RunnerSnapshot {
    const bytes = layers.reduce((sum, id) => sum + (this.#layers.find(id)?.bytes ?? 0), 0)
    return {
      ref,
      state,
      ...(reason === undefined ? {} : { reason }),
      kind,
      needsContent: false,
      sizeGiB: bytes / GIB,
      ...(base === undefined ? {} : { base }),
      image,
      users: accounts.map((account) => account.name),
      ...(digest === undefined ? {} : { digest }),
    }
  }

  #tell(snapshot: RunnerSnapshot): void {
    for (const listener of this.#listeners) listener(snapshot)
  }
}

function builtinView(ref: string): RunnerSnapshot {
  const users = ['daytona', 'root']
  const made = { kind: 'builtin', needsContent: false, sizeGiB: 0, base: 'host', image: NO_IMAGE_CONFIG } as const
  return { ref, state: 'active', ...made, users }
}

async function* emptyLog(): AsyncGenerator<Buffer> {
  // A built-in snapshot was not made, so it has no log.
}

function assertRef(ref: string): void {
  if (Value.Check(SnapshotRef, ref) && !isDeepStrictEqual(ref, '.')) return
  throw new AppError('BAD_REQUEST', 'a snapshot ref is 1 to 128 letters, digits, -, _ and .')
}
