import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { NetworkRules, SandboxLimits, SandboxSpec } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { allOver } from '../../concurrency.ts'
import { flushFolder, writeFileWhole } from '../../files.ts'
import type { DiskStore } from './disks/disk-store.ts'
import { FILES_FOLDER, IMAGE_FILE } from './sandbox-disk.ts'

/** The record of a sandbox on disk; it never holds the environment or the token. */
export const SandboxRecord = Type.Object({
  /** The spec that the sandbox was made with. */
  spec: SandboxSpec,
  /** Its limits since it was resized. */
  limits: Type.Optional(SandboxLimits),
  /** Its network rules since they were changed. */
  networkRules: Type.Optional(NetworkRules),
  /** How its files are kept: in an image with a quota, or in a plain folder on a host without loop devices. */
  disk: Type.Union([Type.Literal('image'), Type.Literal('folder')]),
  /** Why it stopped last, when no call had stopped it. */
  reason: Type.Optional(Type.String()),
})
export type SandboxRecord = Static<typeof SandboxRecord>

/** Returns the spec with the limits and network rules that the sandbox has now. */
export function currentSpec({ spec, limits, networkRules }: SandboxRecord): SandboxSpec {
  return {
    ...spec,
    ...(limits === undefined ? {} : { limits }),
    ...(networkRules === undefined ? {} : { networkRules }),
  }
}

const RecordedProcess = Type.Object({ pid: Type.Integer(), start: Type.String() })

/** The first process of a running sandbox, and the runtime that waits for it. */
export const RunRecord = Type.Object({ init: RecordedProcess, monitor: RecordedProcess })
export type RunRecord = Static<typeof RunRecord>

/** Paths of the files of one sandbox. */
export interface SandboxFolder {
  path: string
  image: string
  /** Holds the files instead of the image, on a host without loop devices. */
  files: string
  /** Outgoing and incoming archives of its files, and scratch folders; absent where there are none. */
  archives: string
  /** Layer with the files written for this sandbox alone: its host name and nameservers. */
  ownLayer: string
  /** The OCI bundle; gone while the sandbox is stopped. */
  bundle: string
  rootfs: string
  disk: string
  config: string
  pidFile: string
  runRecord: string
  runtimeLog: string
  /** Written when the sandbox has ended: the exit code of its first process. */
  exitCode: string
  output: string
}

export function sandboxFolder(sandboxes: string, sandboxId: string): SandboxFolder {
  const path = join(sandboxes, sandboxId)
  const bundle = join(path, 'run')
  return {
    path,
    image: join(path, IMAGE_FILE),
    files: join(path, FILES_FOLDER),
    archives: join(path, 'archives'),
    ownLayer: join(path, 'layer'),
    bundle,
    rootfs: join(bundle, 'rootfs'),
    disk: join(bundle, 'disk'),
    config: join(bundle, 'config.json'),
    pidFile: join(bundle, 'pid'),
    runRecord: join(bundle, 'run.json'),
    runtimeLog: join(bundle, 'runtime.log'),
    exitCode: join(bundle, 'exit'),
    output: join(bundle, 'output'),
  }
}

const RECORD_FILE = 'sandbox.json'

/** Removes a sandbox's disk, which may lie outside the sandbox's folder. */
type DiskRemover = Pick<DiskStore, 'removeDisk'>

export interface NewSandboxFolder {
  record: SandboxRecord
  disks: DiskRemover
  /** Fills the draft, whose path it is given. */
  fill: (draft: string) => Promise<void>
  /** Called when the folder is there. */
  onKept?: () => void
}

/** The folder of a new sandbox that is being made, under a name that the next start of a runner recognizes as a draft. */
export interface DraftFolder {
  /** Paths of the sandbox's files until `keep` has renamed the folder. */
  readonly at: SandboxFolder
  /** Resolves when the files of the sandbox are there, though perhaps not its record. */
  readonly filled: Promise<void>
  /**
   * Waits until all files are there and gives the folder its final name: from then on the sandbox exists. Removes the draft
   * where that fails. A further call returns the first call's result.
   */
  keep(): Promise<void>
  /** Waits for `keep`, and until the final name is on disk: to be called before anyone is told that the sandbox exists. */
  flush(): Promise<void>
}

/** Begins to make the folder of a new sandbox, whole or not at all; `keep` has to follow. */
export function draftSandboxFolder(folder: SandboxFolder, made: NewSandboxFolder): DraftFolder {
  const at = sandboxFolder(dirname(folder.path), `${basename(folder.path)}.draft-${randomUUID()}`)
  const empty = mkdir(at.path, { mode: 0o700 })
  const filled = empty.then(() => made.fill(at.path))
  const recorded = empty.then(() => writeFileWhole(join(at.path, RECORD_FILE), JSON.stringify(made.record)))
  const whole = allOver(filled, recorded)
  // The callers that wait for these promises get their failures.
  for (const part of [filled, whole]) part.catch(() => undefined)
  const keep = async () => {
    try {
      await whole
      await rename(at.path, folder.path)
    } catch (error) {
      await discard(at.path, made.disks)
      throw error
    }
    made.onKept?.()
  }
  let kept: Promise<void> | undefined
  const keepOnce = () => {
    kept ??= keep()
    return kept
  }
  return {
    at,
    filled,
    keep: keepOnce,
    flush: async () => {
      await keepOnce()
      await flushFolder(dirname(folder.path))
    },
  }
}

/** Makes the folder of a new sandbox whole or not at all, and flushes its name to disk. */
export function makeSandboxFolder(folder: SandboxFolder, made: NewSandboxFolder): Promise<void> {
  return draftSandboxFolder(folder, made).flush()
}

export async function writeSandboxRecord(folder: SandboxFolder, record: SandboxRecord): Promise<void> {
  await writeFileWhole(join(folder.path, RECORD_FILE), JSON.stringify(record))
}

/** Returns the record, or undefined for a folder without a readable record. */
export async function readSandboxRecord(folder: SandboxFolder): Promise<SandboxRecord | undefined> {
  const value = await readJson(join(folder.path, RECORD_FILE))
  return Value.Check(SandboxRecord, value) ? value : undefined
}

export async function readRunRecord(folder: SandboxFolder): Promise<RunRecord | undefined> {
  const value = await readJson(folder.runRecord)
  return Value.Check(RunRecord, value) ? value : undefined
}

/** Removes a sandbox's files; from the rename on the sandbox does not exist, even if this process is killed. */
export async function removeSandboxFolder(folder: SandboxFolder, disks: DiskRemover): Promise<void> {
  const doomed = `${folder.path}.draft-${randomUUID()}`
  try {
    await rename(folder.path, doomed)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    throw error
  }
  await discard(doomed, disks)
}

export interface FolderSweep {
  disks: DiskRemover
  /** Ends the processes of a draft. */
  end: (sandboxId: string) => Promise<void>
  log: Logger
}

/**
 * Returns the ids of the sandboxes that exist; removes the drafts that an interrupted creation, removal or trial left. A draft
 * that cannot be removed is left to the next call.
 */
export async function sweepSandboxFolders(sandboxes: string, { disks, end, log }: FolderSweep): Promise<string[]> {
  const names = await readdir(sandboxes)
  const drafts = names.filter((name) => name.includes('.draft-'))
  for (const draft of drafts) {
    try {
      await end(draft)
      await discard(join(sandboxes, draft), disks)
    } catch (error) {
      log.error({ err: error, sandboxId: draft }, 'what is left of a sandbox cannot be removed')
    }
  }
  return names.filter((name) => !drafts.includes(name))
}

/** Removes the disk first: only the folder says where it is. */
async function discard(folder: string, disks: DiskRemover): Promise<void> {
  await disks.removeDisk(folder)
  await rm(folder, { recursive: true, force: true })
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch {
    // The file is absent or not whole: the caller decides what that means.
    return undefined
  }
}
