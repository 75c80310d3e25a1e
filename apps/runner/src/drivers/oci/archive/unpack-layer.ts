import { lstat, mkdir } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { endOfChild, spawnJailed, UNPACK_CAPABILITIES } from './jail.ts'
import type { LayerArchiveFacts, LayerArchiveOptions } from './layer-archive.ts'
import { rewriteLayerArchive } from './layer-archive.ts'
import { TAR_END, tarHeader } from './write-tar.ts'

const TAR_ARGUMENTS = [
  '--extract',
  '--directory=/layer',
  '--numeric-owner',
  '--same-owner',
  '--preserve-permissions',
  // An ACL is an attribute like others (A1): with --acls, tar would replace those it finds no text for. Folders get theirs last,
  // so that no file inherits what it had not.
  '--delay-directory-restore',
  '--xattrs',
  '--xattrs-include=*',
]
const OPAQUE = 'SCHILY.xattr.trusted.overlay.opaque'

export interface UnpackOptions extends LayerArchiveOptions {
  /** An empty folder. */
  target: string
  /** An empty folder for the time of unpacking. */
  jail: string
  /** As in JailOptions: a program that makes `target` visible while it runs. Not for an archive of kind `image`. */
  through?: readonly string[] | undefined
  signal: AbortSignal
}

/**
 * Unpacks an untrusted archive into a folder that overlayfs can take as a layer. Throws ArchiveError for an archive that is
 * refused, CommandError when writing fails, and the errors of reading `stream`.
 */
export async function unpackLayer(stream: AsyncIterable<Buffer>, options: UnpackOptions): Promise<LayerArchiveFacts> {
  const { facts, archive } = rewriteLayerArchive(stream, options)
  // The attribute by which a folder hides those of layers below needs more privilege than an ordinary attribute.
  const more = options.kind === 'layer' ? ['sys_admin'] : []
  await untar(archive, { options, arguments: [], capabilities: [...UNPACK_CAPABILITIES, ...more] })
  if (facts.whiteouts.length > 0) {
    // A layer's deletions do not apply to files of the same layer.
    await untar(deletions(facts.whiteouts), {
      options,
      arguments: ['--skip-old-files'],
      capabilities: UNPACK_CAPABILITIES,
    })
  }
  await markOpaque(facts.opaqueFolders, options)
  return facts
}

function* deletions(paths: readonly string[]): Generator<Buffer> {
  for (const path of paths) yield entryOf(path, { type: '3', mode: 0o644 })
  yield TAR_END
}

async function untar(
  archive: Iterable<Buffer> | AsyncIterable<Buffer>,
  call: { options: UnpackOptions; arguments: readonly string[]; capabilities: readonly string[] },
): Promise<void> {
  const { target, jail, through, signal } = call.options
  const argv = ['tar', ...TAR_ARGUMENTS, ...call.arguments] as const
  const child = spawnJailed({ root: jail, target, through, capabilities: call.capabilities, argv, signal })
  child.stdout.resume()
  const ended = endOfChild(child, 'tar')
  ended.catch(() => undefined)
  try {
    await pipeline(Readable.from(archive, { objectMode: false }), child.stdin, { signal })
  } catch (error) {
    // For a broken pipe, tar's error says why; otherwise the error of reading the archive does.
    if (isBrokenPipe(error)) await ended
    child.kill('SIGKILL')
    await ended.catch(() => undefined)
    throw error
  }
  await ended
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE'
}

/** Marks folders of the layer as opaque; they keep their owner, mode and time. */
async function markOpaque(paths: readonly string[], options: UnpackOptions): Promise<void> {
  const entries: Buffer[] = []
  for (const path of new Set(paths)) {
    const folder = await statFolder(options.target, path)
    if (folder === undefined) continue
    const { mode, uid, gid, mtimeMs } = folder
    const facts = { type: '5', mode: mode & 0o7777, uid, gid, modified: (mtimeMs / 1000).toFixed(3) }
    entries.push(entryOf(path, { ...facts, extended: new Map([[OPAQUE, 'y']]) }))
  }
  if (entries.length === 0) return
  await untar([...entries, TAR_END], { options, arguments: [], capabilities: [...UNPACK_CAPABILITIES, 'sys_admin'] })
}

/** Finds a folder of the layer, making it where it is missing; returns undefined where a link or file is in its path. */
async function statFolder(target: string, path: string) {
  let place = Buffer.from(target)
  for (const part of path.split('/').filter((name) => name !== '')) {
    place = Buffer.concat([place, Buffer.from(`/${part}`, 'latin1')])
    const found = await lstat(place).catch(() => undefined)
    if (found === undefined) await mkdir(place, { mode: 0o755 })
    else if (!found.isDirectory()) return undefined
  }
  return lstat(place)
}

function entryOf(
  path: string,
  facts: { type: string; mode: number } & Partial<Parameters<typeof tarHeader>[0]>,
): Buffer {
  return tarHeader({
    path,
    uid: 0,
    gid: 0,
    size: 0,
    modified: '0',
    linkPath: '',
    device: [0, 0],
    extended: new Map(),
    ...facts,
  })
}
