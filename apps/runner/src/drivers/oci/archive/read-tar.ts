import { ArchiveError } from './archive-error.ts'
import type { ByteSource } from './byte-source.ts'
import { createByteSource } from './byte-source.ts'

export const BLOCK_BYTES = 512
/** Most bytes of all extended headers and long names of one entry. */
const MAX_EXTENSION_BYTES = 1024 * 1024
/** Most bytes of all global headers, which hold for every later entry; programs that write them keep them short. */
const MAX_GLOBAL_BYTES = 64 * 1024
/** Types that have no content, whatever size their header gives: as Go and GNU tar read them. */
const WITHOUT_CONTENT = '123456'

/**
 * One entry of a tar archive. Texts hold a byte in each character (latin1), so that names and attributes that are not
 * UTF-8 stay unchanged.
 */
export interface TarEntry {
  path: string
  /** `0` file, `1` hard link, `2` symbolic link, `3` and `4` devices, `5` folder, `6` pipe. */
  type: string
  /** Permissions, with setuid, setgid and sticky. */
  mode: number
  uid: number
  gid: number
  /** Bytes of content that follow. */
  size: number
  /** Seconds since the epoch, with a fraction where the archive has one. */
  modified: string
  linkPath: string
  device: readonly [major: number, minor: number]
  /** The entry's extended and global headers, as in the archive. */
  extended: ReadonlyMap<string, string>
}

export interface TarMember {
  entry: TarEntry
  /** To be read before the caller takes the next member; the unread rest is skipped. */
  content: AsyncIterable<Buffer>
}

/**
 * Yields the entries of a tar archive (ustar, pax, GNU), or of several one after another, in order.
 * Throws ArchiveError for content that is no tar archive or ends too early.
 */
export async function* readTar(stream: AsyncIterable<Buffer>): AsyncGenerator<TarMember> {
  const source = createByteSource(stream)
  const globals = new Map<string, string>()
  const globalRoom = createRoom(MAX_GLOBAL_BYTES)
  let extended = new Map<string, string>()
  let room = createRoom(MAX_EXTENSION_BYTES)
  for (;;) {
    const block = await source.take(BLOCK_BYTES)
    if (block.length === 0) return
    // An archive ends with blocks of zeros, after which another may follow.
    if (block.every((byte) => byte === 0)) continue
    const header = parseHeader(block)
    if (header.type === 'x') readRecords(await readExtension(source, room(header.size)), extended)
    else if (header.type === 'g') readRecords(await readExtension(source, globalRoom(header.size)), globals)
    else if (header.type === 'L') extended.set('path', untilZero(await readExtension(source, room(header.size))))
    else if (header.type === 'K') extended.set('linkpath', untilZero(await readExtension(source, room(header.size))))
    else {
      const entry = complete(header, { globals, extended })
      const content = source.pass(entry.size)
      yield { entry, content }
      await skipRest(source, content, entry.size)
      extended = new Map()
      room = createRoom(MAX_EXTENSION_BYTES)
    }
  }
}

/** Returns a function that returns each size it is given, and throws when their sum exceeds `maxBytes`: it bounds headers. */
function createRoom(maxBytes: number): (bytes: number) => number {
  let left = maxBytes
  return (bytes) => {
    left -= bytes
    if (left < 0) throw new ArchiveError('it has a header that is too long')
    return bytes
  }
}

type Header = Omit<TarEntry, 'extended'>

function parseHeader(block: Buffer): Header {
  if (block.length < BLOCK_BYTES || readNumber(block, 148, 8) !== checksum(block)) {
    throw new ArchiveError('it is not a tar archive, or is damaged')
  }
  const magic = block.toString('latin1', 257, 263)
  const prefix = magic === 'ustar\0' ? untilZero(block.subarray(345, 500)) : ''
  const name = untilZero(block.subarray(0, 100))
  const flag = String.fromCharCode(block[156] ?? 0)
  const path = prefix === '' ? name : `${prefix}/${name}`
  const isFile = flag === '\0' || flag === '0' || flag === '7'
  return {
    path,
    // Old archives mark a folder by the slash at the end of its name alone.
    type: isFile ? (path.endsWith('/') ? '5' : '0') : flag,
    mode: readNumber(block, 100, 8) & 0o7777,
    uid: readNumber(block, 108, 8),
    gid: readNumber(block, 116, 8),
    size: readNumber(block, 124, 12),
    modified: String(readNumber(block, 136, 12)),
    linkPath: untilZero(block.subarray(157, 257)),
    device: [readNumber(block, 329, 8), readNumber(block, 337, 8)],
  }
}

function complete(
  header: Header,
  { globals, extended }: { globals: ReadonlyMap<string, string>; extended: ReadonlyMap<string, string> },
): TarEntry {
  const all = new Map([...globals, ...extended])
  const size = WITHOUT_CONTENT.includes(header.type) ? 0 : numberOf(all.get('size'), header.size)
  return {
    ...header,
    size,
    path: extended.get('path') ?? header.path,
    linkPath: extended.get('linkpath') ?? header.linkPath,
    uid: numberOf(all.get('uid'), header.uid),
    gid: numberOf(all.get('gid'), header.gid),
    modified: all.get('mtime') ?? header.modified,
    extended: all,
  }
}

async function skipRest(source: ByteSource, content: AsyncGenerator<Buffer>, size: number): Promise<void> {
  for await (const _ of content);
  const padding = (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES
  if ((await source.take(padding)).length < padding) throw new ArchiveError('it ends in the middle of a file')
}

async function readExtension(source: ByteSource, size: number): Promise<Buffer> {
  const padded = Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
  const bytes = await source.take(padded)
  if (bytes.length < padded) throw new ArchiveError('it ends in the middle of a header')
  return bytes.subarray(0, size)
}

/** Reads records of the form `length name=value\n`, where the length counts the whole record. */
function readRecords(bytes: Buffer, records: Map<string, string>): void {
  for (let start = 0; start < bytes.length; ) {
    const blank = bytes.indexOf(0x20, start)
    const length = blank < 0 ? Number.NaN : Number(bytes.toString('latin1', start, blank))
    const end = start + length
    if (!(Number.isInteger(length) && end > blank + 1 && end <= bytes.length && bytes[end - 1] === 0x0a)) {
      throw new ArchiveError('it has a header that cannot be read')
    }
    const record = bytes.toString('latin1', blank + 1, end - 1)
    const equals = record.indexOf('=')
    if (equals < 1) throw new ArchiveError('it has a header that cannot be read')
    records.set(record.slice(0, equals), record.slice(equals + 1))
    start = end
  }
}

/** Reads a number: octal digits, or a binary number marked by its first bit. */
function readNumber(block: Buffer, offset: number, length: number): number {
  const field = block.subarray(offset, offset + length)
  if (((field[0] ?? 0) & 0x80) === 0) {
    const digits = untilZero(field).trim()
    if (!/^[0-7]*$/.test(digits)) throw new ArchiveError('it is not a tar archive, or is damaged')
    return digits === '' ? 0 : Number.parseInt(digits, 8)
  }
  let value = 0
  for (const [index, byte] of field.entries()) value = value * 256 + (index === 0 ? byte & 0x7f : byte)
  return checked(value)
}

function numberOf(text: string | undefined, otherwise: number): number {
  return text === undefined ? checked(otherwise) : checked(/^\d+$/.test(text) ? Number(text) : Number.NaN)
}

function checked(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new ArchiveError('it has a number that is out of bounds')
  return value
}

function checksum(block: Buffer): number {
  let sum = 8 * 0x20
  for (const [index, byte] of block.entries()) if (index < 148 || index >= 156) sum += byte
  return sum
}

function untilZero(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end)
}
