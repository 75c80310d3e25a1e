import { statfs } from 'node:fs/promises'
import type { ImageConfig } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { ArchiveError } from '../archive/archive-error.ts'
import type { LayerArchiveFacts } from '../archive/layer-archive.ts'
import type { OciHost } from '../oci-host.ts'
import type { Layer, LayerStore } from './layer-store.ts'
import type { SnapshotLog } from './snapshot-log.ts'

const GIB = 1024 ** 3
/** Bytes that making a snapshot leaves free on the disk of the data folder. */
const RESERVED_BYTES = 2 * GIB

/** The facts and functions that every way of making a snapshot uses. */
export interface MakeContext {
  host: OciHost
  layers: LayerStore
  /** Keeps a layer from being removed while the snapshot that will name it is made. */
  pin: (layer: Layer) => void
  /** Folder for sockets, whose paths must be short. */
  sockets: string
  log: SnapshotLog
  /** Most bytes that the snapshot's files may take on disk. */
  maxBytes: number
  hasZstd: boolean
  /** Aborts when the snapshot is given up, and when its time is over. */
  signal: AbortSignal
  /** Aborts the making for this reason. */
  giveUp: (reason: SnapshotError) => void
}

/** The content of a snapshot that is not yet known to work. */
export interface SnapshotContent {
  /** Topmost first. */
  layers: readonly Layer[]
  base?: 'host' | undefined
  image: ImageConfig
  digest?: string | undefined
}

/** Thrown when a snapshot cannot be made; the message says why, for the user. */
export class SnapshotError extends Error {
  override readonly name = 'SnapshotError'
}

/** Thrown when the content did not arrive whole: it may be sent again. */
export class ContentCutOff extends Error {
  override readonly name = 'ContentCutOff'
}

/** Returns the bytes that a snapshot of at most `maxSizeGiB` may take now. Throws SnapshotError where the disk is full. */
export async function roomFor(folder: string, maxSizeGiB: number): Promise<number> {
  const disk = await statfs(folder)
  const free = disk.bavail * disk.bsize - RESERVED_BYTES
  if (free <= 0) throw new SnapshotError("the runner's disk is full")
  return Math.min(maxSizeGiB * GIB, free)
}

/** Returns the message of a failure, without the path of the data folder. */
export function reasonOf(error: unknown, host: OciHost): string {
  if (error instanceof ArchiveError) return `the archive is refused: ${error.message}`
  if (error instanceof SnapshotError || error instanceof AppError) return error.message
  const message = error instanceof Error ? error.message : String(error)
  const dataDir = host.folders.layers.replace(/\/[^/]*$/, '')
  return message.replaceAll(dataDir, '…')
}

/** Logs the size of a layer's content. */
export function tellLayer(log: SnapshotLog, name: string, facts: LayerArchiveFacts): void {
  const devices = facts.skippedDevices === 0 ? '' : `, ${facts.skippedDevices} devices left out`
  log.append(`${name}: ${facts.entries} entries, ${Math.ceil(facts.bytes / 1024 ** 2)} MiB${devices}`)
}
