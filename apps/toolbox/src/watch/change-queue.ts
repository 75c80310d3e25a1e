import type { FileChange, WatchMessage } from '@atoll/protocol'

/** The time for which changes are collected. */
const BATCH_MS = 50
/** The most changes in one message. */
export const MAX_BATCH_CHANGES = 1000
/** The most changes that wait for a client; with more of them the client is told to list the path anew. */
export const MAX_QUEUED_CHANGES = 10_000

export interface ChangeQueueOptions {
  /** The watched path, as the client is told it. */
  root: string
  /** Returns false when the client should get no more before `resume`. */
  send(message: WatchMessage): boolean
}

/** The changes that wait for a client, in order; changes of one file are merged. */
export interface ChangeQueue extends Disposable {
  add(change: FileChange): void
  /** Drops the queue and tells the client to list the path anew. */
  lose(): void
  /** Called when the client takes more. */
  resume(): void
}

export function createChangeQueue({ root, send }: ChangeQueueOptions): ChangeQueue {
  const queued = new Map<string, FileChange>()
  /** Raised by each change of a folder, since a file of the same path after it may be another file. */
  let epoch = 0
  let lost = false
  let blocked = false
  let timer: NodeJS.Timeout | undefined

  function schedule(): void {
    if (!blocked) timer ??= setTimeout(flush, BATCH_MS)
  }

  function flush(): void {
    timer = undefined
    while (!blocked && (lost || queued.size > 0)) blocked = !send(next())
  }

  function next(): WatchMessage {
    if (lost) {
      lost = false
      return { type: 'rescan', path: root }
    }
    const changes = [...queued].slice(0, MAX_BATCH_CHANGES)
    for (const [key] of changes) queued.delete(key)
    return { type: 'changes', changes: changes.map(([, change]) => change) }
  }

  function lose(): void {
    lost = true
    queued.clear()
    schedule()
  }

  function addFile(change: FileChange): void {
    const key = `${epoch}${change.path}`
    const merged = merge(queued.get(key)?.type, change.type)
    if (merged === undefined) queued.delete(key)
    else queued.set(key, { ...change, type: merged })
  }

  return {
    add(change) {
      // The client sees this change when it lists.
      if (lost) return
      if (change.isDir) queued.set(`${++epoch}/`, change)
      else addFile(change)
      if (queued.size > MAX_QUEUED_CHANGES) lose()
      else schedule()
    },
    lose,
    resume() {
      blocked = false
      if (lost || queued.size > 0) schedule()
    },
    [Symbol.dispose]() {
      blocked = true
      clearTimeout(timer)
      queued.clear()
    },
  }
}

/** Merges two changes of one file into one, or none. */
function merge(before: FileChange['type'] | undefined, after: FileChange['type']): FileChange['type'] | undefined {
  if (before === 'created') return after === 'deleted' ? undefined : 'created'
  if (before === 'deleted') return after === 'deleted' ? 'deleted' : 'changed'
  return after === 'created' && before === 'changed' ? 'changed' : after
}
