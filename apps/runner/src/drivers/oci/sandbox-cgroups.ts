import { readdir, readFile, realpath, rmdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { SandboxLimits } from '@atoll/protocol'
import { sendSignal } from '@atoll/service'
import { isThere } from '../../files.ts'
import { openFreezer } from './cgroup-freezer.ts'
import { limitFiles, SWAP_LIMIT } from './cgroup-limits.ts'

const CGROUP_ROOT = '/sys/fs/cgroup'
/** How long processes of a cgroup may take to end after SIGKILL, in milliseconds. */
const KILL_DEADLINE_MS = 5_000
const KILL_POLL_MS = 10
/** How often this process is moved while moves are expected, in milliseconds: moves stay quick for some 15 ms after each. */
const MOVE_INTERVAL_MS = 8

/** How this host lays out cgroups: one tree, one tree a controller, or one a controller and a unified tree beside them. */
export type CgroupLayout = 'v2' | 'v1' | 'hybrid'

/**
 * The cgroups of one runner's sandboxes: `/atoll-<instance>/<sandbox>` in every tree. The OCI runtime makes
 * and removes a sandbox's; this reads and empties them, and removes cgroups that a killed process left.
 */
export interface SandboxCgroups {
  readonly layout: CgroupLayout
  /** False where a memory limit cannot also forbid swap. */
  readonly limitsSwap: boolean
  /** Returns the path of the sandbox's cgroup as config.json names it. */
  path(sandboxId: string): string
  /**
   * Keeps moves of processes into cgroups quick, until disposed. The kernel makes the first move wait for a grace period, and
   * moves shortly after it not at all: so this process is moved again and again, into the cgroup it is already in.
   */
  expectMoves(): Disposable
  /** Returns how many processes of the sandbox the kernel killed because its memory limit was reached. */
  outOfMemoryKills(sandboxId: string): Promise<number>
  /** Changes the limits of a running sandbox. Throws where the kernel refuses. */
  limit(sandboxId: string, limits: SandboxLimits): Promise<void>
  /** Keeps every process of the sandbox from running until `thaw`. Throws when one cannot be stopped in time. */
  freeze(sandboxId: string): Promise<void>
  /** Lets the processes of the sandbox run on; does nothing where they are not frozen. */
  thaw(sandboxId: string): Promise<void>
  /** Kills all processes in the sandbox's cgroup and removes it. Throws when a process does not end. */
  remove(sandboxId: string): Promise<void>
  /** Returns the ids of the sandboxes that have a cgroup now. */
  list(): Promise<string[]>
  /** Removes the parent cgroups of this runner's sandboxes where no sandbox's cgroup is left in them. */
  removeParent(): Promise<void>
}

export async function openSandboxCgroups(instanceId: string): Promise<SandboxCgroups> {
  const { layout, trees } = await readTrees()
  const parent = `atoll-${instanceId}`
  const directories = (name: string) => trees.map((tree) => join(tree, parent, name))
  const freezer = openFreezer(layout)
  const freezerOf = (name: string) => join(CGROUP_ROOT, layout === 'v2' ? '' : 'freezer', parent, name)
  const memory = layout === 'v2' ? CGROUP_ROOT : join(CGROUP_ROOT, 'memory')
  return {
    layout,
    limitsSwap: layout === 'v2' ? await hasSwapControl() : await isThere(join(memory, 'memory.memsw.limit_in_bytes')),
    path: (sandboxId) => `/${parent}/${sandboxId}`,
    expectMoves: createMoveExpecter(await findOwnProcs(layout)),
    outOfMemoryKills: (sandboxId) =>
      readCounter(join(memory, parent, sandboxId, layout === 'v2' ? 'memory.events' : 'memory.oom_control')),
    limit: async (sandboxId, limits) => {
      for (const [file, value] of limitFiles(layout, limits)) {
        const place = join(CGROUP_ROOT, layout === 'v2' ? '' : dirname(file), parent, sandboxId, basename(file))
        if (file !== SWAP_LIMIT || (await isThere(place))) await writeFile(place, value)
      }
    },
    freeze: (sandboxId) => freezer.freeze(freezerOf(sandboxId)),
    thaw: (sandboxId) => freezer.thaw(freezerOf(sandboxId)),
    remove: async (sandboxId) => {
      // The usual case: the cgroups are empty or gone.
      if (await removeAllEmpty(directories(sandboxId))) return
      // A frozen process does not end, even when it is killed.
      await freezer.thaw(freezerOf(sandboxId))
      await killMembers(directories(sandboxId))
      for (const directory of directories(sandboxId)) await removeTree(directory)
    },
    list: async () => [...new Set((await Promise.all(directories('').map(listDirectories))).flat())],
    removeParent: async () => {
      for (const directory of directories('')) await removeEmpty(directory)
    },
  }
}

/** Returns the file that moves a process to the cgroup of this process; undefined where that is not found. */
async function findOwnProcs(layout: CgroupLayout): Promise<string | undefined> {
  const tree = layout === 'v2' ? '' : 'freezer'
  const lines = (await readFile('/proc/self/cgroup', 'utf8')).split('\n').map((line) => line.split(':'))
  const path = lines.find(([, controllers = '']) => controllers.split(',').includes(tree))?.[2]
  return path === undefined ? undefined : join(CGROUP_ROOT, tree, path, 'cgroup.procs')
}

function createMoveExpecter(procs: string | undefined): () => Disposable {
  let expecting = 0
  let isMoving = procs === undefined
  const keepMoving = async () => {
    while (expecting > 0) {
      await writeFile(procs ?? '', `${process.pid}`)
      await delay(MOVE_INTERVAL_MS, undefined, { ref: false })
    }
    isMoving = false
  }
  return () => {
    expecting += 1
    if (!isMoving) {
      isMoving = true
      // Where this process may not be moved, moves into cgroups are only slower.
      keepMoving().catch(() => undefined)
    }
    return {
      [Symbol.dispose]: () => {
        expecting -= 1
      },
    }
  }
}

async function readTrees(): Promise<{ layout: CgroupLayout; trees: string[] }> {
  if (await isThere(join(CGROUP_ROOT, 'cgroup.controllers'))) return { layout: 'v2', trees: [CGROUP_ROOT] }
  const names = await readdir(CGROUP_ROOT)
  // Controllers mounted together appear under several names.
  const trees = new Set(await Promise.all(names.map((name) => realpath(join(CGROUP_ROOT, name)))))
  const hybrid = await isThere(join(CGROUP_ROOT, 'unified', 'cgroup.controllers'))
  return { layout: hybrid ? 'hybrid' : 'v1', trees: [...trees] }
}

/** Looks in a child with the memory controller, because the root of the unified tree has no memory files of its own. */
async function hasSwapControl(): Promise<boolean> {
  for (const child of await listDirectories(CGROUP_ROOT)) {
    if (await isThere(join(CGROUP_ROOT, child, 'memory.max'))) {
      return isThere(join(CGROUP_ROOT, child, 'memory.swap.max'))
    }
  }
  return true
}

async function readCounter(file: string): Promise<number> {
  const text = await readFile(file, 'latin1').catch(() => '')
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0)
}

async function killMembers(directories: string[]): Promise<void> {
  const giveUpAt = performance.now() + KILL_DEADLINE_MS
  for (;;) {
    const members = new Set((await Promise.all(directories.map(listMembers))).flat())
    if (members.size === 0) return
    if (performance.now() > giveUpAt) throw new Error(`${members.size} processes of a sandbox do not end`)
    for (const pid of members) sendSignal(pid, 'SIGKILL')
    await delay(KILL_POLL_MS)
  }
}

async function listMembers(directory: string): Promise<number[]> {
  const own = await readFile(join(directory, 'cgroup.procs'), 'latin1').catch(() => '')
  const children = await listDirectories(directory)
  const below = await Promise.all(children.map((child) => listMembers(join(directory, child))))
  // A process outside this process namespace reads as 0 and cannot be signalled from here.
  const pids = own.split('\n').map(Number)
  return [...pids.filter((pid) => pid > 0), ...below.flat()]
}

/** Returns true when none of the directories is left. */
async function removeAllEmpty(directories: string[]): Promise<boolean> {
  const removed = await Promise.all(directories.map(removeEmpty))
  return removed.every((isGone) => isGone)
}

/** Removes a directory, or returns false and leaves it when it is not empty. */
async function removeEmpty(directory: string): Promise<boolean> {
  try {
    await rmdir(directory)
    return true
  } catch (error) {
    if (!['ENOENT', 'EBUSY', 'ENOTEMPTY'].includes(errorCode(error))) throw error
    return errorCode(error) === 'ENOENT'
  }
}

async function removeTree(directory: string): Promise<void> {
  for (const child of await listDirectories(directory)) await removeTree(join(directory, child))
  const giveUpAt = performance.now() + KILL_DEADLINE_MS
  for (;;) {
    try {
      return await rmdir(directory)
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENOENT') return
      // A cgroup stays busy for a moment after its last process was collected.
      if (code !== 'EBUSY' || performance.now() > giveUpAt) throw error
      await delay(KILL_POLL_MS)
    }
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

async function listDirectories(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
}
