import { createGzip } from 'node:zlib'
import type { ArchiveFormat } from '@atoll/protocol'
import { nodeZstd } from './node-zstd.ts'
import { throughProgram, throughTransform } from './through-stream.ts'

/** The quickest level: mostly the network or the disk limits a copy, and other processes need the processor too. */
const GZIP_LEVEL = 1
/** Niceness of zstd: a lower priority than the host's other processes have. */
const NICENESS = '10'

export interface CompressOptions {
  /** Two empty folders, used where a program of the host does the work. */
  jail: string
  scratch: string
  /** False where the host has no zstd; Node may have its own. */
  hasZstd: boolean
  signal: AbortSignal
}

export interface Compressed {
  format: ArchiveFormat
  /** Reading throws what the stream throws. */
  content: AsyncIterable<Buffer>
}

/** Compresses a tar archive with zstd where that is available, else with gzip, which `decompress` reads everywhere. */
export function compress(stream: AsyncIterable<Buffer>, options: CompressOptions): Compressed {
  const { jail: root, scratch: target, hasZstd, signal } = options
  if (nodeZstd !== undefined) {
    return { format: 'tar+zstd', content: throughTransform(stream, nodeZstd.compress()) }
  }
  if (!hasZstd) return { format: 'tar+gzip', content: throughTransform(stream, createGzip({ level: GZIP_LEVEL })) }
  const argv = ['nice', '-n', NICENESS, 'zstd', '-1', '--quiet', '--stdout'] as const
  return { format: 'tar+zstd', content: throughProgram(stream, { root, target, capabilities: [], argv, signal }) }
}
