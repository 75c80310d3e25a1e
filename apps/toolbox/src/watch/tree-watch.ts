import { createMarks } from './marks.ts'
import type { OverflowGuard } from './overflow-guard.ts'
import { createWatchedTree } from './watched-tree.ts'

/** What the system tells is looked at together after this long. */
const SETTLE_MS = 20

export interface TreeChange {
  readonly type: 'created' | 'changed' | 'deleted'
  /** Below the root; `.` is the root itself. Bytes, as latin1. */
  readonly path: string
  readonly isDir: boolean
}

export interface TreeWatchOptions {
  /** Absolute, a folder; bytes, as latin1. */
  root: string
  recursive: boolean
  overflow: OverflowGuard
  /** Whether a path below the root is of no interest. */
  ignored(path: string): boolean
  /** All is watched from now on; before it no change is told. */
  onReady(): void
  onChange(change: TreeChange): void
  /** Changes were missed: what is found to be different is told next, but not what has changed back. */
  onLost(): void
  /** The root is gone; nothing more will be told. */
  onGone(): void
  /** The watch has failed, and nothing more will be told. */
  onFail(error: unknown): void
}

/**
 * Watches a folder, and those below it, until disposed.
 * NOTE: one inotify watch for each folder and a name for each file. The libraries hold a watch and an object for each
 * file: 10 KB of memory (docs/decisions/0007-own-file-watching.md).
 */
export function createTreeWatch(options: TreeWatchOptions): Disposable {
  const tree = createWatchedTree(options)
  const marks = createMarks()
  let lookAll = false
  let timer: NodeJS.Timeout | undefined
  let closed = false
  let work: Promise<void> = Promise.resolve()

  /** One look at a time; a failure ends the watch. */
  function enqueue(step: () => Promise<void>): void {
    work = work
      .then(() => (closed ? undefined : step()))
      .catch((error: unknown) => {
        if (closed) return
        close()
        options.onFail(error)
      })
  }

  function lookSoon(): void {
    timer ??= setTimeout(() => {
      timer = undefined
      enqueue(look)
    }, SETTLE_MS)
  }

  function lose(): void {
    marks.take()
    lookAll = true
    options.onLost()
    lookSoon()
  }

  async function look(): Promise<void> {
    const marked = marks.take()
    const all = lookAll
    lookAll = false
    if (!(await tree.rootStands())) {
      if (closed) return
      close()
      options.onGone()
    } else if (all) {
      await tree.lookAtAll()
    } else {
      for (const batch of marked) await Promise.all(batch.map((place) => tree.lookAt(place)))
    }
  }

  function close(): void {
    closed = true
    clearTimeout(timer)
    options.overflow.delete(lose)
    tree[Symbol.dispose]()
  }

  options.overflow.add(lose)
  enqueue(async () => {
    await tree.start((place) => {
      options.overflow.count()
      if (marks.add(place)) lookSoon()
      else lose()
    })
    if (!closed) options.onReady()
  })
  return { [Symbol.dispose]: close }
}
