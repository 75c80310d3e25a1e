import { expect, test } from 'vitest'
import type { ArchiveKind } from './layer-archive.ts'
import { rewriteLayerArchive } from './layer-archive.ts'
import type { TarEntry } from './read-tar.ts'
import { BLOCK_BYTES } from './read-tar.ts'
import { TAR_END, tarHeader } from './write-tar.ts'

const GIB = 1024 ** 3
/** Far more headers than may be held; a compressed archive holds this many in a few kilobytes. */
const ENDLESS = 1_000_000

type Given = Partial<Omit<TarEntry, 'extended'>> & { path: string; extended?: Record<string, string> }

function headerOf({ extended = {}, ...entry }: Given): Buffer {
  return tarHeader({
    ...{ type: '0', mode: 0o644, uid: 0, gid: 0, size: 0, modified: '0', linkPath: '', device: [0, 0] },
    ...entry,
    extended: new Map(Object.entries(extended)),
  })
}

/** Reads the whole archive; returns how many headers were read, and the error that stopped it. */
async function read(headers: (number: number) => Buffer, kind: ArchiveKind) {
  let count = 0
  async function* archive(): AsyncGenerator<Buffer> {
    for (; count < ENDLESS; count += 1) yield headers(count)
    yield TAR_END
  }
  const rewritten = rewriteLayerArchive(archive(), { kind, maxBytes: 20 * GIB })
  try {
    for await (const _ of rewritten.archive);
  } catch (error) {
    return { count, error }
  }
  return { count, error: undefined }
}

test.each([
  ['of an entry', 'x', 1024],
  ['of all entries', 'g', 64],
])('extended headers %s are bounded together, however many there are', async (_whose, type, mostKib) => {
  const value = 'a'.repeat(1024)
  const { count, error } = await read((number) => {
    // Cuts off the header of the entry itself.
    const bytes = headerOf({ path: 'a', extended: { [`SCHILY.xattr.user.${number}`]: value } }).subarray(
      0,
      -BLOCK_BYTES,
    )
    bytes.write(type, 156, 'latin1')
    return withChecksum(bytes)
  }, 'files')
  expect(error).toMatchObject({ name: 'ArchiveError', message: 'it has a header that is too long' })
  expect(count).toBeLessThan(mostKib)
})

test('each entry has extended headers of its own', async () => {
  const value = 'a'.repeat(100 * 1024)
  async function* archive(): AsyncGenerator<Buffer> {
    for (let number = 0; number < 100; number += 1) {
      yield headerOf({ path: String(number), extended: { 'SCHILY.xattr.user.a': value } })
    }
    yield TAR_END
  }
  const rewritten = rewriteLayerArchive(archive(), { kind: 'files', maxBytes: GIB })
  for await (const _ of rewritten.archive);
  expect(rewritten.facts.entries).toBe(100)
})

test.each(['.wh.', '.wh..wh..opq'])('marks of deletions are bounded together: %s', async (mark) => {
  const folder = 'a'.repeat(4_000)
  const { count, error } = await read(
    (number) => headerOf({ path: `${folder}${number}/${mark}${mark === '.wh.' ? number : ''}` }),
    'image',
  )
  expect(error).toMatchObject({ name: 'ArchiveError', message: 'it deletes too much of the layers below' })
  expect(count).toBeLessThan(20_000)
})

function withChecksum(block: Buffer): Buffer {
  block.write('        ', 148, 'latin1')
  const sum = block.subarray(0, BLOCK_BYTES).reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}
