import type { ErrorCode } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'

/** The error for each errno. The contract: ENOENT is 404, EACCES and EPERM 403, an existing destination 409, the rest 400. */
const byErrno: Readonly<Record<string, { code: ErrorCode; message: string }>> = {
  ENOENT: { code: 'FILE_NOT_FOUND', message: 'no such file or directory' },
  EACCES: { code: 'FILE_ACCESS_DENIED', message: 'permission denied' },
  EPERM: { code: 'FILE_ACCESS_DENIED', message: 'operation not permitted' },
  EROFS: { code: 'FILE_ACCESS_DENIED', message: 'read-only file system' },
  EEXIST: { code: 'FILE_EXISTS', message: 'already exists' },
  ENOTEMPTY: { code: 'FILE_EXISTS', message: 'directory is not empty' },
  ENOSPC: { code: 'DISK_FULL', message: 'no space left on the disk' },
  EDQUOT: { code: 'DISK_FULL', message: 'disk quota exceeded' },
  ENOTDIR: { code: 'INVALID_FILE_PATH', message: 'not a directory' },
  EISDIR: { code: 'INVALID_FILE_PATH', message: 'is a directory' },
  ENAMETOOLONG: { code: 'INVALID_FILE_PATH', message: 'path is too long' },
  ELOOP: { code: 'INVALID_FILE_PATH', message: 'too many levels of symbolic links' },
}

/** Failures of the machine, not of the request. */
const OUR_FAULT = new Set(['EIO', 'EMFILE', 'ENFILE', 'ENOMEM', 'ESTALE'])

/**
 * Returns the AppError for something a file operation threw. An AppError is returned as it is, and so is an error without
 * an errno, which becomes a 500. `path` is the one that the caller named.
 */
export function fsError(error: unknown, path: Buffer, fault: 'FILE_READ_FAILED' | 'FILE_WRITE_FAILED'): unknown {
  if (error instanceof AppError) return error
  const errno = errnoOf(error)
  if (errno === undefined) return error
  const known = byErrno[errno] ?? {
    code: OUR_FAULT.has(errno) ? fault : ('INVALID_FILE_PATH' as const),
    message: `failed with ${errno}`,
  }
  return new AppError(known.code, `${known.message}: ${path.toString()}`, { cause: error })
}

/** Returns the errno of a caught error, such as `ENOENT`. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
