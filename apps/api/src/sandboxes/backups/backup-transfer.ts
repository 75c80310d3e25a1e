import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { pipeline, Transform } from 'node:stream'
import type { ByteSpan } from '../../object-storage/object-store.ts'
import type { RunnerClient } from '../../runners/runner-client.ts'
import type { BackupObjects } from './backup-objects.ts'
import type { BackupSum } from './backup-store.ts'

/** What came out of the object store is not what went in. */
export class BackupDamagedError extends Error {
  override readonly name = 'BackupDamagedError'
}

/** Nobody wants the backup any more, or another replica makes it. */
export class BackupNotWantedError extends Error {
  override readonly name = 'BackupNotWantedError'
}

/** Between which two files are copied. */
export interface Transfer {
  runner: Pick<RunnerClient, 'archives'>
  objects: BackupObjects
  signal: AbortSignal
  onProgress: OnProgress
}

/**
 * Hears that a part was moved, and is there whatever fails next; false with the last of them, and when all are moved once
 * more: what fails then could fail so for ever.
 */
export type OnProgress = (isMoving: boolean) => void

export interface Backup {
  id: string
  sandboxId: string
}

/** Where a part lies in the whole, which is not empty. */
export function spanOf(number: number, { bytes, partBytes }: { bytes: number; partBytes: number }): ByteSpan {
  const start = (number - 1) * partBytes
  return { start, end: Math.min(start + partBytes, bytes) - 1 }
}

/** Passes bytes on and sums them up. */
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

/** Passes bytes on, and fails at their end, before whoever reads them has seen it, unless they are the right ones. */
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

/** Both as one stream, which fails when either does. */
export function through(source: Readable, transform: Transform): Readable {
  return pipeline(source, transform, () => {
    // Whoever reads the result learns of a failure there.
  })
}
