import type { Duplex } from 'node:stream'
import * as zlib from 'node:zlib'

/** Zstd of Node's own, from 22.15 on. */
interface ZstdOfNode {
  createZstdCompress?: () => Duplex
  createZstdDecompress?: () => Duplex
}

// Types of an older Node do not know of it.
const { createZstdCompress, createZstdDecompress } = zlib as ZstdOfNode

/** Undefined where this Node has none. Reading takes at most 128 MiB of memory, Node's own bound. */
export const nodeZstd: Readonly<Required<ZstdOfNode>> | undefined =
  createZstdCompress === undefined || createZstdDecompress === undefined
    ? undefined
    : { createZstdCompress, createZstdDecompress }
