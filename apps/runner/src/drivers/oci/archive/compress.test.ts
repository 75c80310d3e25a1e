import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import * as zlib from 'node:zlib'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { compress } from './compress.ts'
import { decompress } from './decompress.ts'
import { nodeZstd } from './node-zstd.ts'

/** Numbers, which pack well, and better the more time is spent. */
const CONTENT = Buffer.from(Array.from({ length: 200_000 }, (_, index) => `${(index * index) % 9_973}\n`).join(''))
const PIECE_BYTES = 65_536
const WHY_SKIPPED = 'this Node has no zstd of its own'
const { signal } = new AbortController()

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-compress-'))
  for (const name of ['jail', 'scratch']) await mkdir(join(folder, name))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function* pieces(content: Buffer = CONTENT): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += PIECE_BYTES) yield content.subarray(at, at + PIECE_BYTES)
}

/** Packs the content with Node's own zstd. */
async function pack(): Promise<Buffer> {
  const { format, content } = compress(pieces(), { jail: '', scratch: '', hasZstd: false, signal })
  expect(format).toBe('tar+zstd')
  return await buffer(content)
}

/** Unpacks with Node's own zstd, or with the host's. */
async function unpack(packed: Buffer, isWhole: boolean): Promise<Buffer> {
  const [jail, scratch] = [join(folder, 'jail'), join(folder, 'scratch')]
  return await buffer(decompress(pieces(packed), { jail, scratch, hasZstd: !isWhole, isWhole, signal }))
}

it("A1: what Node's zstd packs is what it unpacks, and so does the host's zstd", async ({ skip }) => {
  skip(nodeZstd === undefined, WHY_SKIPPED)
  const packed = await pack()
  expect(packed.length).toBeLessThan(CONTENT.length / 2)
  expect((await unpack(packed, true)).equals(CONTENT)).toBe(true)
  expect((await unpack(packed, false)).equals(CONTENT)).toBe(true)
})

it("A5: what Node's zstd cannot unpack is damaged", async ({ skip }) => {
  skip(nodeZstd === undefined, WHY_SKIPPED)
  const packed = await pack()
  // The frame's header, behind its magic number, and that of the first block.
  packed.fill(0xff, 4, 16)
  await expect(unpack(packed, true)).rejects.toMatchObject({
    name: 'ArchiveError',
    message: 'it is damaged: its zstd packing cannot be undone',
  })
})

it("Node's zstd packs at its quickest level", async ({ skip }) => {
  skip(nodeZstd === undefined, WHY_SKIPPED)
  // The types of an older Node have neither.
  const { createZstdCompress, constants } = zlib as unknown as {
    createZstdCompress: (options: object) => Duplex
    constants: { ZSTD_c_compressionLevel: number }
  }
  const packAt = (level: number) =>
    buffer(
      Readable.from(pieces(), { objectMode: false }).pipe(
        createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: level } }),
      ),
    )
  const packed = await pack()
  expect(packed.equals(await packAt(1))).toBe(true)
  expect(packed.equals(await packAt(3))).toBe(false)
})
