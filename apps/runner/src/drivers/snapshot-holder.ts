import type { Readable } from 'node:stream'
import type { MakeSnapshot, RunnerSnapshot } from '@atoll/protocol'

export type SnapshotListener = (snapshot: RunnerSnapshot) => void

/**
 * The snapshots a driver holds, as docs/spec/runner-snapshots.md has them. A malformed ref throws BAD_REQUEST, an unknown
 * one SNAPSHOT_NOT_FOUND except where said otherwise. Calls for one ref run one after the other.
 */
export interface SnapshotHolder {
  list(): Promise<RunnerSnapshot[]>
  get(ref: string): Promise<RunnerSnapshot>
  /**
   * Begins to make one and answers at once. The same source again: as it is. Throws CONFLICT for another source,
   * RUNNER_INCAPABLE, FORBIDDEN, BAD_REQUEST and SANDBOX_NOT_FOUND.
   */
  make(ref: string, wanted: MakeSnapshot): Promise<RunnerSnapshot>
  /** Takes the content of one that waits for it; reads nothing where it does not. Answers when it was read. */
  takeContent(ref: string, content: Readable): Promise<RunnerSnapshot>
  /** Its log from the byte `from` on; `follow`: until it is `active` or `error`. Ends with `signal`. */
  readLog(ref: string, options: { from: number; follow: boolean; signal: AbortSignal }): Promise<AsyncIterable<Buffer>>
  /** A stream for the content of an `import`. Throws SNAPSHOT_NOT_ACTIVE; reading throws where it fails. */
  export(ref: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>>
  /** Unknown: nothing to do. Throws SNAPSHOT_IN_USE. */
  remove(ref: string): Promise<void>
  /** Tells of every change of a state or of the need of content. Returns an unsubscriber. */
  onChange(listener: SnapshotListener): () => void
}
