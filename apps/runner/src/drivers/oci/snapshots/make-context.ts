import { statfs } from 'node:fs/promises'
import type { ImageConfig } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { ArchiveError } from '../archive/archive-error.ts'
import type { LayerArchiveFacts } from '../archive/layer-archive.ts'
import type { OciHost } from '../oci-host.ts'
import type { Layer, LayerStore } from './layer-store.ts'
import type { SnapshotLog } from './snapshot-log.ts'

const GIB = 1024 ** 3
/** What making a snapshot leaves free of the disk that the data folder is on, in bytes. */
const RESERVED_BYTES = 2 * GIB

/** What all ways of making a snapshot work with. */
export interface MakeContext {
  host: OciHost
  layers: LayerStore
  /** Keeps a layer from being removed while the snapshot that will name it is made. */
  pin: (layer: Layer) => void
  /** For sockets, whose paths must be short. */
  sockets: string
  log: SnapshotLog
  /** What its files may take on disk. */
  maxBytes: number
  hasZstd: boolean
  /** Aborts when it is given up, and when its time is over. */
  signal: AbortSignal
  /** Aborts it for this reason. */
  giveUp: (reason: SnapshotError) => void
}

/** What a snapshot holds, before it is known to work. */
export interface SnapshotContent {
  /** Topmost first. */
  layers: readonly Layer[]
  base?: 'host' | undefined
  image: ImageConfig
  digest?: string | undefined
}

/** A snapshot that cannot be made; the message says why, for whoever asked for it. */
export class SnapshotError extends Error {
  override readonly name = 'SnapshotError'
}

/** The content did not arrive whole: it may be sent again. */
export class ContentCutOff extends Error {
  override readonly name = 'ContentCutOff'
}

/** The bytes that a snapshot of at most `maxSizeGiB` may take on this host now. Throws SnapshotError where there is no room. */
export async function roomFor(folder: string, maxSizeGiB: number): Promise<number> {
  const disk = await statfs(folder)
  const free = disk.bavail * disk.bsize - RESERVED_BYTES
  if (free <= 0) throw new SnapshotError("the runner's disk is full")
  return Math.min(maxSizeGiB * GIB, free)
}

/** What is told of a failure: no path of the host's. */
export function reasonOf(error: unknown, host: OciHost): string {
  if (error instanceof ArchiveError) return `the archive is refused: ${error.message}`
  if (error instanceof SnapshotError || error instanceof AppError) return error.message
  const message = error instanceof Error ? error.message : String(error)
  const dataDir = host.folders.layers.replace(/\/[^/]*$/, '')
  return message.replaceAll(dataDir, '…')
}

/** Says in the log what a layer holds. */
export function tellLayer(log: SnapshotLog, name: string, facts: LayerArchiveFacts): void {
  const devices = facts.skippedDevices === 0 ? '' : `, ${facts.skippedDevices} devices left out`
  log.append(`${name}: ${facts.entries} entries, ${Math.ceil(facts.bytes / 1024 ** 2)} MiB${devices}`)
}
