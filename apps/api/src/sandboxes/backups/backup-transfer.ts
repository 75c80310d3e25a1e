import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { pipeline, Transform } from 'node:stream'
import type { ByteSpan } from '../../object-storage/object-store.ts'
import type { RunnerClient } from '../../runners/runner-client.ts'
import type { BackupObjects } from './backup-objects.ts'
import type { BackupSum } from './backup-store.ts'

/** The object store returned other bytes than were stored. */
export class BackupDamagedError extends Error {
  override readonly name = 'BackupDamagedError'
}

/** The backup is not wanted any more, or another replica makes it. */
export class BackupNotWantedError extends Error {
  override readonly name = 'BackupNotWantedError'
}

/** The runner and the object store between which files are copied. */
export interface Transfer {
  runner: Pick<RunnerClient, 'archives'>
  objects: BackupObjects
  signal: AbortSignal
  onProgress: OnProgress
}

/**
 * Hears of progress: true when a part was moved that need not be moved again, whatever fails next. False with the last part,
 * and when all parts are to be moved once more, because a failure that follows could repeat for ever.
 */
export type OnProgress = (isMoving: boolean) => void

export interface Backup {
  id: string
  sandboxId: string
}

/** Returns the span of a part in the whole, which is not empty. */
export function spanOf(number: number, { bytes, partBytes }: { bytes: number; partBytes: number }): ByteSpan {
  const start = (number - 1) * partBytes
  return { start, end: Math.min(start + partBytes, bytes) - 1 }
}

/** Makes a stream that passes bytes on and returns their sum after its end. */
export function createSummer(): { stream: Transform; sum(): BackupSum } {
  const hash = createHash('sha256')
  let bytes = 0
  let result: BackupSum | undefined
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      bytes += chunk.length
      done(null, chunk)
    },
    flush(done) {
      result = { bytes, sha256: hash.digest('hex') }
      done()
    },
  })
  return {
    stream,
    sum() {
      if (result === undefined) throw new Error('the stream has not ended')
      return result
    },
  }
}

/** Makes a stream that passes bytes on. If they are not the right ones it fails instead of ending, so no reader sees an end. */
export function createCheck({ bytes, sha256 }: { bytes: number; sha256: string | undefined }): Transform {
  const hash = createHash('sha256')
  let seen = 0
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      seen += chunk.length
      done(null, chunk)
    },
    flush(done) {
      const isSame = seen === bytes && (sha256 === undefined || hash.digest('hex') === sha256)
      done(isSame ? null : new BackupDamagedError('a backup in the object store is damaged'))
    },
  })
}

/** Joins both into one stream, which fails when either does. */
export function through(source: Readable, transform: Transform): Readable {
  return pipeline(source, transform, () => {
    // The reader of the result gets the error.
  })
}
