import { ArchiveError } from './archive-error.ts'
import { readTar, type TarEntry } from './read-tar.ts'
import { kernelAcls } from './textual-acl.ts'
import { padding, TAR_END, tarHeader } from './write-tar.ts'

/** Most entries of a layer: each takes an inode of the host. */
const MAX_LAYER_ENTRIES = 2_000_000
/** Bytes that an entry takes on disk beside its content, and the unit in which its content is counted. */
const ENTRY_BYTES = 512
const DISK_BLOCK_BYTES = 4096
const MAX_PATH_BYTES = 4095
const MAX_OWNER = 0xff_ff_ff_fe
/** Most links to one deletion: below ext4's limit for one inode. */
const MAX_WHITEOUT_LINKS = 60_000
/** Most memory for the deletions in an image's layer, and memory of each beside its path; in bytes. */
const MAX_MARKS_BYTES = 64 * 1024 * 1024
const MARK_BYTES = 512
const NO_LINKS = { whiteoutLinks: 0, linkedWhiteout: '' }
const WHITEOUT_PREFIX = '.wh.'
const OPAQUE_MARK = '.wh..wh..opq'

/**
 * Kinds of archives: `files` as any tar program makes it; `image` a layer of an OCI image, which marks deleted files by
 * special names; `layer` an archive that Atoll wrote, in which deletions are as overlayfs keeps them.
 */
export type ArchiveKind = 'files' | 'image' | 'layer'

export interface LayerArchiveOptions {
  kind: ArchiveKind
  /** Most bytes that its files may take on disk. */
  maxBytes: number
  /** Most entries; MAX_LAYER_ENTRIES when absent. */
  maxEntries?: number
}

/** Facts of the entries read so far; complete once the last byte has been read. */
export interface LayerArchiveFacts {
  entries: number
  bytes: number
  /** Devices are left out: no sandbox may open one. */
  skippedDevices: number
  /** Paths to be deleted in layers below, and folders that hide those below. */
  whiteouts: string[]
  opaqueFolders: string[]
  /** Memory of these two lists, in bytes. */
  markBytes: number
  /** Number of deletions in a layer so far, and the path of the deletion that the next ones are links to. */
  whiteoutLinks: number
  linkedWhiteout: string
}

/**
 * Rewrites an untrusted archive into one that is safe to unpack: every entry has a path inside the folder, a known type and
 * a header written here, so that tar unpacks exactly what was checked. Reading throws ArchiveError for a path that
 * leads outside, more than `maxBytes` or `maxEntries`, and content that is no archive.
 */
export function rewriteLayerArchive(
  stream: AsyncIterable<Buffer>,
  options: LayerArchiveOptions,
): { facts: LayerArchiveFacts; archive: AsyncGenerator<Buffer> } {
  const facts: LayerArchiveFacts = {
    entries: 0,
    bytes: 0,
    skippedDevices: 0,
    whiteouts: [],
    opaqueFolders: [],
    markBytes: 0,
    ...NO_LINKS,
  }
  return { facts, archive: rewrite(stream, options, facts) }
}

async function* rewrite(
  stream: AsyncIterable<Buffer>,
  options: LayerArchiveOptions,
  facts: LayerArchiveFacts,
): AsyncGenerator<Buffer> {
  for await (const { entry, content } of readTar(stream)) {
    count(entry, options, facts)
    const kept = keepEntry(entry, options.kind, facts)
    if (kept === undefined) continue
    yield tarHeader(kept)
    let bytes = 0
    for await (const piece of content) {
      bytes += piece.length
      yield piece
    }
    if (bytes < kept.size) throw new ArchiveError('it ends in the middle of a file')
    yield padding(kept.size)
  }
  yield TAR_END
}

function count(
  entry: TarEntry,
  { maxBytes, maxEntries = MAX_LAYER_ENTRIES }: LayerArchiveOptions,
  facts: LayerArchiveFacts,
) {
  facts.entries += 1
  facts.bytes += ENTRY_BYTES + Math.ceil(entry.size / DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES
  if (entry.type === '5') facts.bytes += DISK_BLOCK_BYTES
  if (facts.entries > maxEntries) throw new ArchiveError(`it has more than ${maxEntries} entries`)
  if (facts.bytes > maxBytes) throw new ArchiveError(`it takes more than ${(maxBytes / 1024 ** 3).toFixed(2)} GiB`)
}

/** Returns the entry as it is unpacked; undefined for an entry that is left out. */
function keepEntry(entry: TarEntry, kind: ArchiveKind, facts: LayerArchiveFacts): TarEntry | undefined {
  const { extended, name } = keepExtended(entry, kind)
  const path = insidePath(name ?? entry.path)
  if (kind === 'image' && noteMark(path, facts)) return undefined
  if (entry.uid > MAX_OWNER || entry.gid > MAX_OWNER)
    throw new ArchiveError(`the owner of ${show(path)} is out of bounds`)
  if (path === '') return keepRoot({ ...entry, extended }, kind)
  switch (entry.type) {
    case '0':
    case '5':
    case '6':
      return { ...entry, path: name === undefined ? path : sparsePath(), linkPath: '', extended, device: [0, 0] }
    case '1':
      return { ...entry, path, linkPath: insidePath(entry.linkPath), extended: new Map(), device: [0, 0] }
    case '2':
      if (entry.linkPath === '' || entry.linkPath.length > MAX_PATH_BYTES || entry.linkPath.includes('\0')) {
        throw new ArchiveError(`the link ${show(path)} leads nowhere`)
      }
      return { ...entry, path, extended, device: [0, 0] }
    case '3':
      if (kind === 'layer' && entry.device[0] === 0 && entry.device[1] === 0) {
        return whiteoutOf({ ...entry, path, extended }, facts)
      }
      facts.skippedDevices += 1
      return undefined
    case '4':
      facts.skippedDevices += 1
      return undefined
    case 'V':
      return undefined
    default:
      throw new ArchiveError(
        `${show(path)} is of type ${JSON.stringify(entry.type)}, which is not supported${sparseHint(entry.type)}`,
      )
  }
}

/** Keeps the entry of the root folder in a `layer` only: there its owner, mode and time are those of the sandbox's root. */
function keepRoot(entry: TarEntry, kind: ArchiveKind): TarEntry | undefined {
  if (kind !== 'layer' || entry.type !== '5') return undefined
  return { ...entry, path: './', linkPath: '', device: [0, 0] }
}

/** Returns a deletion as overlayfs keeps it: thousands are links to one inode, else they might not fit on the disk again. */
function whiteoutOf(entry: TarEntry, facts: LayerArchiveFacts): TarEntry {
  facts.whiteoutLinks += 1
  if (facts.whiteoutLinks % MAX_WHITEOUT_LINKS !== 1) {
    return { ...entry, type: '1', linkPath: facts.linkedWhiteout, extended: new Map() }
  }
  facts.linkedWhiteout = entry.path
  return entry
}

/** Notes a mark of a deletion; returns false for an ordinary name. Throws when there are too many marks. */
function noteMark(path: string, facts: LayerArchiveFacts): boolean {
  const slash = path.lastIndexOf('/') + 1
  const name = path.slice(slash)
  if (!name.startsWith(WHITEOUT_PREFIX)) return false
  facts.markBytes += path.length + MARK_BYTES
  if (facts.markBytes > MAX_MARKS_BYTES) throw new ArchiveError('it deletes too much of the layers below')
  if (name === OPAQUE_MARK) facts.opaqueFolders.push(path.slice(0, slash))
  const hidden = name.slice(WHITEOUT_PREFIX.length)
  // Other names with this prefix are files that older file systems kept for their own use.
  if (!hidden.startsWith(WHITEOUT_PREFIX) && !['', '.', '..'].includes(hidden))
    facts.whiteouts.push(path.slice(0, slash) + hidden)
  return true
}

/** Returns a fixed name for the header of a sparse file: only the name in its extended header counts. */
function sparsePath(): string {
  return 'GNUSparseFile.0/file'
}

/** Returns the extended attributes that are kept, and the real name of a sparse file. */
function keepExtended(
  { extended, type }: TarEntry,
  kind: ArchiveKind,
): { extended: Map<string, string>; name: string | undefined } {
  const kept = new Map<string, string>()
  for (const [name, value] of extended) if (isKept(name, kind)) kept.set(name, value)
  // No program that makes images writes ACLs as text, and none that unpacks them reads it.
  if (kind !== 'image') for (const [name, value] of kernelAcls(extended)) kept.set(name, value)
  if (![...extended.keys()].some((name) => name.startsWith('GNU.sparse.'))) return { extended: kept, name: undefined }
  const name = extended.get('GNU.sparse.name')
  const size = extended.get('GNU.sparse.realsize') ?? ''
  const isKnown = extended.get('GNU.sparse.major') === '1' && extended.get('GNU.sparse.minor') === '0'
  if (type !== '0' || !isKnown || name === undefined || !/^\d{1,15}$/.test(size)) {
    throw new ArchiveError(`it has a sparse file of an old format${sparseHint('S')}`)
  }
  kept.set('GNU.sparse.major', '1').set('GNU.sparse.minor', '0')
  kept.set('GNU.sparse.name', insidePath(name)).set('GNU.sparse.realsize', size)
  return { extended: kept, name }
}

function isKept(name: string, kind: ArchiveKind): boolean {
  if (name === 'SCHILY.xattr.security.capability') return true
  // An ACL gives no more than its file's owner may give; the kernel checks its form and its size.
  if (name === 'SCHILY.xattr.system.posix_acl_access' || name === 'SCHILY.xattr.system.posix_acl_default') return true
  // In a layer these attributes are the sandbox's own: none of our overlays reads them.
  if (name.startsWith('SCHILY.xattr.user.overlay.')) return kind === 'layer'
  if (name.startsWith('SCHILY.xattr.user.')) return true
  return kind === 'layer' && name === 'SCHILY.xattr.trusted.overlay.opaque'
}

/** Returns a path without empty parts and `.`; throws for a path that leads outside. */
function insidePath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  const inside = parts.join('/')
  if (parts.includes('..')) throw new ArchiveError(`${show(path)} leads outside`)
  if (inside.length > MAX_PATH_BYTES || inside.includes('\0')) throw new ArchiveError(`${show(path)} is no path`)
  return inside
}

function sparseHint(type: string): string {
  return type === 'S' ? '; make it with tar --format=pax' : ''
}

/** Returns a path in the form that messages show. */
function show(path: string): string {
  return JSON.stringify(Buffer.from(path.slice(0, 200), 'latin1').toString('utf8'))
}
