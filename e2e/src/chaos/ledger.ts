import { createHash } from 'node:crypto'

/** The digest of a file that is not there. */
export const ABSENT = 'absent'

/**
 * What may be true of a file. A call that nobody answered may have happened or not, so there can be several; then the
 * file is left as it is for good, because such a call may even happen later.
 */
export interface KnownFile {
  readonly path: string
  /** Digests of contents, or ABSENT. */
  possible: Set<string>
  /** What may have been in it at any time since the last backup that is known of, or ever where there is none. */
  sinceSaved: Set<string>
  settled: boolean
  /** Whether it was on disk when its write was acknowledged: an upload is, and what a command has flushed. */
  flushed: boolean
  /** Whether it was read back after the storm. */
  isAudited: boolean
}

/** What a sandbox has: processors, and GiB. */
export interface Resources {
  cpu: number
  memory: number
  disk: number
}

/**
 * What may be true of a sandbox. `asked`: nobody said that it was made. `there`: someone did. `leaving`: nobody said
 * that it is being deleted. `gone`: someone did.
 */
export interface KnownSandbox {
  readonly name: string
  /** What its commands find in a variable: the name, of a fork that of the sandbox it began as. */
  readonly mark: string
  id: string | undefined
  existence: 'asked' | 'there' | 'leaving' | 'gone'
  /** As last heard; `unheard` where nobody could say. */
  state: string
  /** Whether anybody has seen it started. */
  hasRun: boolean
  readonly files: Map<string, KnownFile>
  /** How many paths have been used. */
  paths: number
  /** When its newest backup was begun, as last heard, and how far the last one is. */
  backup: { state: string; createdAt: string | undefined }
  /** Whether a backup of it was seen whole. */
  isSaved: boolean
  /** Its runner is gone for good and nothing was left to go on with. */
  mayBeLost: boolean
  /** Its disk was filled and nobody said that it has room again. */
  isFull: boolean
  /** As last heard. */
  resources: Resources | undefined
  /** What a change of them that was acknowledged makes them, unless it fails, which shows as an error. */
  resizedTo: Resources | undefined
}

/** Everything that was acknowledged, by all workers. */
export interface Ledger {
  readonly sandboxes: readonly KnownSandbox[]
  /** Notes a sandbox before it is asked for: one with the files of another, where it is made from that. */
  add(name: string, source?: Pick<KnownSandbox, 'files' | 'paths' | 'mark'>): KnownSandbox
  /** Forgets what was not flushed: a disk without room may have lost it, as on any Linux machine. */
  loseUnflushed(): void
  /** How often that was; what is not flushed and was under way then is not to be relied on either. */
  readonly losses: number
  /** What was in the first sandbox that was looked into when it was new. */
  firstSight: string | undefined
}

export function createLedger(): Ledger {
  const sandboxes: KnownSandbox[] = []
  let losses = 0
  return {
    sandboxes,
    firstSight: undefined,
    add(name, source) {
      const files = [...(source?.files.values() ?? [])]
      const copies = files.map((file) => ({
        ...file,
        possible: new Set(file.possible),
        sinceSaved: new Set(file.possible),
        isAudited: false,
      }))
      const sandbox: KnownSandbox = {
        ...{
          name,
          mark: source?.mark ?? name,
          id: undefined,
          existence: 'asked',
          state: 'unheard',
          // Of those that are forgotten, too: they may be there.
          paths: source?.paths ?? 0,
          isFull: false,
          hasRun: false,
          backup: { state: 'None', createdAt: undefined },
          isSaved: false,
          mayBeLost: false,
          resources: undefined,
          resizedTo: undefined,
        },
        files: new Map(copies.map((file) => [file.path, file])),
      }
      sandboxes.push(sandbox)
      return sandbox
    },
    get losses() {
      return losses
    },
    loseUnflushed() {
      losses += 1
      for (const { files } of sandboxes) for (const [path, file] of files) if (!file.flushed) files.delete(path)
    },
  }
}

/** A path that nothing was ever written to. */
export function freshFile(sandbox: KnownSandbox): KnownFile {
  sandbox.paths += 1
  const path = `/home/daytona/kept/${sandbox.paths}`
  const file: KnownFile = {
    path,
    possible: new Set([ABSENT]),
    sinceSaved: new Set([ABSENT]),
    settled: true,
    flushed: true,
    isAudited: false,
  }
  sandbox.files.set(file.path, file)
  return file
}

/** Notes that a file has this content now, or may have. `flushed`: and that whoever wrote it has flushed it. */
export function noteContent(file: KnownFile, digest: string, how: { acknowledged: boolean; flushed: boolean }): void {
  if (how.acknowledged) file.possible.clear()
  else file.settled = false
  file.possible.add(digest)
  file.sinceSaved.add(digest)
  file.flushed = how.flushed
}

/** Notes that a backup has what is in the sandbox now. */
export function noteSaved(sandbox: KnownSandbox): void {
  sandbox.isSaved = true
  for (const file of sandbox.files.values()) file.sinceSaved = new Set(file.possible)
}

/** Notes that it may have the files of its last backup again, whichever that is. */
export function fallBack(sandbox: KnownSandbox): void {
  for (const file of sandbox.files.values()) file.possible = new Set(file.sinceSaved)
}

/** The sandbox's file must be there, whatever its content. */
export function mustBeThere(file: KnownFile): boolean {
  return !file.possible.has(ABSENT)
}

export function digestOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

/** Content that tells what it is of, and does not compress to nothing. */
export function contentFor(title: string, bytes: number): Buffer {
  const pieces: Buffer[] = []
  let length = 0
  for (let number = 0; length < bytes; number++) {
    const piece = createHash('sha512').update(`${title} ${number}`).digest()
    pieces.push(piece)
    length += piece.length
  }
  return Buffer.concat(pieces).subarray(0, bytes)
}
