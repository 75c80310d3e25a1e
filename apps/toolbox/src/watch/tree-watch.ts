import { createMarks } from './marks.ts'
import type { OverflowGuard } from './overflow-guard.ts'
import { createWatchedTree } from './watched-tree.ts'

/** The time after which the places of reported events are looked at together. */
const SETTLE_MS = 20

export interface TreeChange {
  readonly type: 'created' | 'changed' | 'deleted'
  /** A path below the root; `.` is the root itself. Bytes, as Latin1. */
  readonly path: string
  readonly isDir: boolean
}

export interface TreeWatchOptions {
  /** The absolute path of a folder; bytes, as Latin1. */
  root: string
  recursive: boolean
  overflow: OverflowGuard
  /** Returns whether a path below the root is ignored. */
  ignored(path: string): boolean
  /** Called when everything is watched; no change is reported before. */
  onReady(): void
  onChange(change: TreeChange): void
  /** Called when events were missed: differences are reported next, but not changes that were undone. */
  onLost(): void
  /** Called last, when the root is gone. */
  onGone(): void
  /** Called last, when the watch has failed. */
  onFail(error: unknown): void
}

/**
 * Watches a folder, and with `recursive` those below it, until disposed.
 * NOTE: it holds one inotify watch for each folder and a name for each file. The libraries hold a watch and an object for
 * each file: 10 KB of memory (docs/decisions/0007-own-file-watching.md).
 */
export function createTreeWatch(options: TreeWatchOptions): Disposable {
  const tree = createWatchedTree(options)
  const marks = createMarks()
  let lookAll = false
  let timer: NodeJS.Timeout | undefined
  let closed = false
  let work: Promise<void> = Promise.resolve()

  /** Runs one step at a time; a failure ends the watch. */
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
