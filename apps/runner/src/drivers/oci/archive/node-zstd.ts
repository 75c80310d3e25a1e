import type { Duplex } from 'node:stream'
import * as zlib from 'node:zlib'

/** Node's own zstd, from 22.15 on. */
interface ZstdOfNode {
  createZstdCompress?: () => Duplex
  createZstdDecompress?: () => Duplex
}

// The types of an older Node do not have these functions.
const { createZstdCompress, createZstdDecompress } = zlib as ZstdOfNode

/** Node's own zstd; undefined where this Node has none. Reading takes at most 128 MiB of memory, Node's own bound. */
export const nodeZstd: Readonly<Required<ZstdOfNode>> | undefined =
  createZstdCompress === undefined || createZstdDecompress === undefined
    ? undefined
    : { createZstdCompress, createZstdDecompress }
