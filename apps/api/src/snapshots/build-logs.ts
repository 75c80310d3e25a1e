import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@atoll/protocol'
import type { TextSource } from '@atoll/tunnel'
import { TunnelError, textChunks } from '@atoll/tunnel'
import { RunnerCallError } from '../runners/runner-answer.ts'
import type { RunnerClient } from '../runners/runner-client.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import type { SnapshotRow } from './snapshot-table.ts'

/** How long to wait for a build to be given to a runner, and the interval of the checks, in milliseconds. */
const BUILDER_WAIT_MS = 30_000
const BUILDER_LOOK_MS = 250

export interface BuildLogsOptions {
  store: Pick<SnapshotStore, 'findById'>
  runners: { client(runnerId: string): RunnerClient | undefined }
  builderWaitMs?: number
}

export interface BuildLogRequest {
  /** Whether the log stays open until the build ends. */
  follow: boolean
  /** Whether its chunks are spaced out for SDKs before 0.27: §17.4 of the contract. */
  paced: boolean
  /** Ends the log. */
  signal: AbortSignal
}

/** The output of builds, as their runners keep it. */
export interface BuildLogs {
  /**
   * Opens a build's log; without `follow` it holds only what is there now. Waits up to 30 s for the build to be given
   * to a runner. Throws SNAPSHOT_UNKNOWN for a snapshot that is not built, and RUNNER_UNREACHABLE.
   */
  open(row: SnapshotRow, request: BuildLogRequest): Promise<Readable>
}

export function createBuildLogs(options: BuildLogsOptions): BuildLogs {
  const { store, runners, builderWaitMs = BUILDER_WAIT_MS } = options

  async function untilGiven(row: SnapshotRow, signal: AbortSignal): Promise<SnapshotRow> {
    const deadline = performance.now() + builderWaitMs
    let current: SnapshotRow | undefined = row
    while (current !== undefined && isWaiting(current) && performance.now() < deadline) {
      await delay(BUILDER_LOOK_MS, undefined, { signal })
      current = await store.findById(row.id)
    }
    return current ?? row
  }

  return {
    async open(first, { follow, paced, signal }) {
      if (first.buildInfo === null)
        throw new AppError('SNAPSHOT_UNKNOWN', 'It has no build info, so there are no build logs')
      const row = await untilGiven(first, signal)
      if (row.runnerId === null || !row.asked) {
        // No runner has begun the build: it failed before that, or still waits.
        return Readable.from([`${row.errorReason ?? ''}\n`])
      }
      const client = runners.client(row.runnerId)
      if (client === undefined)
        throw new AppError('RUNNER_UNREACHABLE', 'The runner that has the build logs is not connected')
      const log = await client.snapshots.log(row.ref, { follow, signal }).catch((error: unknown) => {
        throw translated(error)
      })
      return Readable.from(chunksOf(log, { paced: paced && follow, signal }), { objectMode: false })
    },
  }
}

function isWaiting({ state, asked }: SnapshotRow): boolean {
  return (state === 'build_pending' || state === 'building') && !asked
}

function translated(error: unknown): unknown {
  if (error instanceof RunnerCallError && error.code === 'SNAPSHOT_NOT_FOUND') {
    return new AppError('SNAPSHOT_UNKNOWN', 'There are no build logs any more', { cause: error })
  }
  if (error instanceof RunnerCallError || error instanceof TunnelError) {
    return new AppError('RUNNER_UNREACHABLE', 'The runner did not give the build logs', { cause: error })
  }
  return error
}

async function* chunksOf(log: Readable, options: { paced: boolean; signal: AbortSignal }): AsyncGenerator<Buffer> {
  try {
    yield* textChunks(textSource(log), options)
  } finally {
    log.destroy()
  }
}

/** Returns a stream as a source of text. Reading it throws the stream's error. */
export function textSource(stream: Readable): TextSource {
  return {
    async read() {
      const chunk: unknown = stream.read()
      return chunk instanceof Buffer ? [{ bytes: chunk }] : []
    },
    async more() {
      while (!stream.readableEnded) {
        if (stream.readableLength > 0) return true
        if (stream.errored) throw stream.errored
        if (stream.destroyed) return false
        // Listening for `readable` makes the stream read on.
        await readable(stream)
      }
      return false
    },
  }
}

function readable(stream: Readable): Promise<void> {
  return new Promise((resolve) => {
    const events = ['readable', 'end', 'close', 'error'] as const
    const done = () => {
      for (const event of events) stream.off(event, done)
      resolve()
    }
    for (const event of events) stream.on(event, done)
  })
}
