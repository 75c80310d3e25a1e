import { AppError } from '@atoll/protocol'

/** Linux's PATH_MAX counts the terminating NUL. */
const MAX_DISK_PATH_BYTES = 4095
/** Linux's NAME_MAX. */
const MAX_COMPONENT_BYTES = 255

const SLASH = 0x2f
const TILDE = 0x7e

/** The only place that makes a path from a caller a path on disk. There is no jail: the sandbox's user decides. */
export interface WorkDirectory {
  /** The absolute path where relative paths start. */
  readonly dir: string
  /** An absolute path. */
  readonly home: string
  /** The absolute path where SDKs start that make paths absolute themselves; `dir` unless an image has a directory of its own. */
  readonly project: string
  /**
   * Makes `path` absolute: relative to `dir`, with a leading `~` or `~/` for the home. `.` and `..` are left to the
   * kernel, which follows links before them. Throws INVALID_FILE_PATH for a NUL byte, a path over PATH_MAX or a
   * component over 255 bytes.
   */
  resolve(path: Buffer | string): Buffer
}

export function createWorkDirectory(options: { dir: string; home: string; project?: string }): WorkDirectory {
  const { dir, home, project = dir } = options
  return {
    dir,
    home,
    project,
    resolve(path) {
      const absolute = makeAbsolute(typeof path === 'string' ? Buffer.from(path) : path, dir, home)
      check(absolute)
      return absolute
    },
  }
}

function makeAbsolute(path: Buffer, dir: string, home: string): Buffer {
  if (path.length === 0) return Buffer.from(dir)
  if (path[0] === SLASH) return path
  if (path[0] === TILDE && (path.length === 1 || path[1] === SLASH)) {
    return Buffer.concat([Buffer.from(home), path.subarray(1)])
  }
  return Buffer.concat([Buffer.from(dir.endsWith('/') ? dir : `${dir}/`), path])
}

function check(path: Buffer): void {
  if (path.includes(0)) throw new AppError('INVALID_FILE_PATH', 'a path must not contain a NUL byte')
  if (path.length > MAX_DISK_PATH_BYTES) {
    throw new AppError('INVALID_FILE_PATH', `a path must not be longer than ${MAX_DISK_PATH_BYTES} bytes`)
  }
  let start = 0
  while (start < path.length) {
    const slash = path.indexOf(SLASH, start)
    const end = slash === -1 ? path.length : slash
    if (end - start > MAX_COMPONENT_BYTES) {
      throw new AppError('INVALID_FILE_PATH', `a file name must not be longer than ${MAX_COMPONENT_BYTES} bytes`)
    }
    start = end + 1
  }
}
