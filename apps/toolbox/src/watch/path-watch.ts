import { realpath, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path/posix'
import type { TreeChange, TreeWatchOptions } from './tree-watch.ts'
import { createTreeWatch } from './tree-watch.ts'
import { bytesOf } from './watched-folder.ts'

/** The interval at which a path that is gone is looked for. */
const RETURN_POLL_MS = 500

export interface PathWatchOptions
  extends Pick<TreeWatchOptions, 'recursive' | 'overflow' | 'ignored' | 'onLost' | 'onFail'> {
  /** The absolute path of a file or folder; bytes, as Latin1. */
  path: string
  /** Called once. */
  onReady(): void
  /** Called with an absolute path, which starts with the watched one. */
  onChange(change: TreeChange): void
}

/** Watches a file or folder until disposed; while it is gone, waits for its return. */
export function createPathWatch(options: PathWatchOptions): Disposable {
  const { path, onChange } = options
  let tree: Disposable | undefined
  let poll: NodeJS.Timeout | undefined
  let ready = false
  let closed = false

  async function start(): Promise<void> {
    const target = await findTarget(path)
    if (closed) return
    if (target === undefined) {
      lookForReturn()
      return
    }
    const { overflow, onLost, onFail } = options
    tree = createTreeWatch({
      ...scopeOf(target, options),
      overflow,
      onReady() {
        if (!ready) {
          ready = true
          options.onReady()
        } else {
          onChange({ type: 'created', path, isDir: target.isDir })
          onLost()
        }
      },
      onChange: (change) => onChange({ ...change, path: target.isDir ? join(path, change.path) : path }),
      onGone() {
        onChange({ type: 'deleted', path, isDir: target.isDir })
        begin()
      },
      onLost,
      onFail,
    })
  }

  function begin(): void {
    start().catch((error: unknown) => {
      if (!closed) options.onFail(error)
    })
  }

  function lookForReturn(): void {
    poll = setTimeout(begin, RETURN_POLL_MS)
  }

  begin()
  return {
    [Symbol.dispose]() {
      closed = true
      clearTimeout(poll)
      tree?.[Symbol.dispose]()
    },
  }
}

interface Target {
  /** The real path, without links. */
  readonly path: string
  readonly isDir: boolean
}

/** Returns undefined when there is nothing at the path. */
async function findTarget(path: string): Promise<Target | undefined> {
  try {
    const real = await realpath(bytesOf(path), { encoding: 'latin1' })
    const stats = await stat(bytesOf(real))
    return { path: real, isDir: stats.isDirectory() }
  } catch {
    return undefined
  }
}

/** Returns what to watch. A file is watched through its folder, because a watch of the file would not report its replacement. */
function scopeOf({ path, isDir }: Target, { recursive, ignored }: PathWatchOptions) {
  if (isDir) return { root: path, recursive, ignored }
  const name = basename(path)
  return { root: dirname(path), recursive: false, ignored: (other: string) => other !== name }
}

function join(folder: string, below: string): string {
  return folder === '/' ? `/${below}` : `${folder}/${below}`
}
