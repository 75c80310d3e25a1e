import { BLOCK_BYTES, type TarEntry } from './read-tar.ts'

/** Largest number of 7 and of 11 octal digits. */
const MAX_ID = 0o7777777
const MAX_SIZE = 0o77777777777
const MAX_NAME_BYTES = 100

/** End of an archive: two blocks of zeros. */
export const TAR_END = Buffer.alloc(2 * BLOCK_BYTES)

/** Returns an entry's headers in pax format; long names, large numbers and fractions are in an extended header before. */
export function tarHeader(entry: TarEntry): Buffer {
  const records = new Map(entry.extended)
  for (const name of ['path', 'linkpath', 'size', 'uid', 'gid', 'mtime']) records.delete(name)
  if (entry.path.length > MAX_NAME_BYTES) records.set('path', entry.path)
  if (entry.linkPath.length > MAX_NAME_BYTES) records.set('linkpath', entry.linkPath)
  if (entry.size > MAX_SIZE) records.set('size', String(entry.size))
  if (entry.uid > MAX_ID) records.set('uid', String(entry.uid))
  if (entry.gid > MAX_ID) records.set('gid', String(entry.gid))
  if (!/^\d{1,10}$/.test(entry.modified)) records.set('mtime', entry.modified)
  const header = headerBlock(entry)
  if (records.size === 0) return header
  const extension = Buffer.from([...records].map(recordOf).join(''), 'latin1')
  const [path, linkPath] = ['PaxHeaders/entry', '']
  const before = headerBlock({ ...entry, type: 'x', path, linkPath, mode: 0o644, size: extension.length })
  return Buffer.concat([before, extension, padding(extension.length), header])
}

/** Returns the zeros that fill the last block of a content. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)
}

function headerBlock(entry: TarEntry): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  const put = (text: string, offset: number, length: number) => block.write(text.slice(0, length), offset, 'latin1')
  const octal = (value: number, offset: number, digits: number) =>
    put(value.toString(8).padStart(digits, '0'), offset, digits)
  put(entry.path, 0, MAX_NAME_BYTES)
  octal(entry.mode, 100, 7)
  octal(Math.min(entry.uid, MAX_ID), 108, 7)
  octal(Math.min(entry.gid, MAX_ID), 116, 7)
  octal(Math.min(entry.size, MAX_SIZE), 124, 11)
  octal(Math.min(Math.max(0, Math.trunc(Number(entry.modified)) || 0), MAX_SIZE), 136, 11)
  put(entry.type, 156, 1)
  put(entry.linkPath, 157, MAX_NAME_BYTES)
  put('ustar\0' + '00', 257, 8)
  octal(entry.device[0], 329, 7)
  octal(entry.device[1], 337, 7)
  put('        ', 148, 8)
  const sum = block.reduce((total, byte) => total + byte, 0)
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8)
  return block
}

/** Returns the record `length name=value\n`; the length counts its own digits. */
function recordOf([name, value]: readonly [string, string]): string {
  const rest = ` ${name}=${value}\n`
  let length = rest.length
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return `${length}${rest}`
}
