import { createGunzip } from 'node:zlib'
import { ArchiveError } from './archive-error.ts'
import { nodeZstd } from './node-zstd.ts'
import { throughProgram, throughTransform } from './through-stream.ts'

/** First bytes of the compression formats of a stream. */
const MAGIC = {
  gzip: Buffer.from([0x1f, 0x8b]),
  zstd: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
  xz: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a]),
  bzip2: Buffer.from('BZh'),
} as const
const LONGEST_MAGIC = 5
/** Most memory that decompressing zstd may take, in MiB. */
const ZSTD_MEMORY_MIB = 128

export interface DecompressOptions {
  /** Two empty folders, used where a program of the host does the work. */
  jail: string
  scratch: string
  /** False where the host has no zstd. */
  hasZstd: boolean
  /** The stream is known to be whole, so Node's own zstd may read it, which does not notice a stream that was cut off. */
  isWhole?: boolean
  signal: AbortSignal
}

/** Yields the content of a stream that is plain, gzip or zstd. Reading throws ArchiveError for other formats and damage. */
export async function* decompress(stream: AsyncIterable<Buffer>, options: DecompressOptions): AsyncGenerator<Buffer> {
  const chunks = stream[Symbol.asyncIterator]()
  let start: Buffer = Buffer.alloc(0)
  while (start.length < LONGEST_MAGIC) {
    const next = await chunks.next()
    if (next.done) break
    start = Buffer.concat([start, next.value])
  }
  const whole = prepend(start, chunks)
  const is = (magic: Buffer) => start.subarray(0, magic.length).equals(magic)
  if (is(MAGIC.gzip)) yield* gunzip(whole)
  else if (is(MAGIC.zstd)) yield* unzstd(whole, options)
  else if (is(MAGIC.xz) || is(MAGIC.bzip2)) {
    throw new ArchiveError('it is packed with xz or bzip2; plain tar, gzip and zstd are understood')
  } else yield* whole
}

async function* prepend(start: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (start.length > 0) yield start
  for (;;) {
    const next = await chunks.next()
    if (next.done) return
    yield next.value
  }
}

function gunzip(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  return throughTransform(packed, createGunzip(), damaged('gzip'))
}

function unzstd(packed: AsyncIterable<Buffer>, options: DecompressOptions): AsyncGenerator<Buffer> {
  if (options.isWhole === true && nodeZstd !== undefined) {
    return throughTransform(packed, nodeZstd.decompress(), damaged('zstd'))
  }
  if (!options.hasZstd) throw new ArchiveError('it is packed with zstd; install the package zstd on the runner')
  const argv = ['zstd', '--decompress', '--stdout', '--quiet', `--memory=${ZSTD_MEMORY_MIB}MB`] as const
  const { jail: root, scratch: target, signal } = options
  return throughProgram(packed, { root, target, capabilities: [], argv, signal }, damaged('zstd'))
}

function damaged(packing: string): (cause: unknown) => ArchiveError {
  return (cause) => new ArchiveError(`it is damaged: its ${packing} packing cannot be undone`, { cause })
}
