import type { Duplex } from 'node:stream'
import * as zlib from 'node:zlib'

/** Node's own zstd, from 22.15 on. */
interface ZstdOfNode {
  createZstdCompress?: (options: { params: Record<number, number> }) => Duplex
  createZstdDecompress?: () => Duplex
}

/** The number of zstd's parameter for the level; the types of an older Node do not have it, nor these functions. */
const COMPRESSION_LEVEL = 100
/** The quickest of zstd's ordinary levels; Node's default is 3. */
const QUICKEST_LEVEL = 1

const { createZstdCompress, createZstdDecompress } = zlib as ZstdOfNode

/** Node's own zstd; undefined where this Node has none. Reading takes at most 128 MiB of memory, Node's own bound. */
export const nodeZstd =
  createZstdCompress === undefined || createZstdDecompress === undefined
    ? undefined
    : {
        /** Compresses at the quickest level. */
        compress: () => createZstdCompress({ params: { [COMPRESSION_LEVEL]: QUICKEST_LEVEL } }),
        decompress: () => createZstdDecompress(),
      }
