import type { Readable } from 'node:stream'
import type { MakeSnapshot, RunnerSnapshot } from '@atoll/protocol'

export type SnapshotListener = (snapshot: RunnerSnapshot) => void

/**
 * The snapshots that a driver holds, as docs/spec/runner-snapshots.md describes them. A malformed ref throws BAD_REQUEST, an
 * unknown ref SNAPSHOT_NOT_FOUND except where said otherwise. Calls for one ref run one after the other.
 */
export interface SnapshotHolder {
  list(): Promise<RunnerSnapshot[]>
  get(ref: string): Promise<RunnerSnapshot>
  /**
   * Begins to make a snapshot and returns at once. Called again with the same source, changes nothing. Throws CONFLICT for
   * another source, RUNNER_INCAPABLE, FORBIDDEN, BAD_REQUEST and SANDBOX_NOT_FOUND.
   */
  make(ref: string, wanted: MakeSnapshot): Promise<RunnerSnapshot>
  /** Reads the content of a snapshot that waits for it, and nothing for any other. Returns when the content was read. */
  takeContent(ref: string, content: Readable): Promise<RunnerSnapshot>
  /** Returns the log from the byte `from` on; with `follow`, until the snapshot is `active` or `error`. Ends with `signal`. */
  readLog(ref: string, options: { from: number; follow: boolean; signal: AbortSignal }): Promise<AsyncIterable<Buffer>>
  /** Returns a stream that an `import` takes as its content. Throws SNAPSHOT_NOT_ACTIVE; reading throws when it fails. */
  export(ref: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>>
  /** Removes a snapshot; does nothing for an unknown ref. Throws SNAPSHOT_IN_USE. */
  remove(ref: string): Promise<void>
  /** Calls `listener` when the state of a snapshot, or its need for content, changes. Returns an unsubscriber. */
  onChange(listener: SnapshotListener): () => void
}
