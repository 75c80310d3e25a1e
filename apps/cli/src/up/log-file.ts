import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'

/** A log never takes more room than twice this: the file itself and the one before it. */
const LOG_FILE_MAX_BYTES = 10 * 1024 * 1024

export interface LogFile {
  append(line: string): void
  close(): void
}

/**
 * Appends lines to a file; a full one becomes `<path>.1`, replacing the one before. Writes at once, so there is
 * nothing to flush and nothing to bound in memory.
 */
export function openLogFile(path: string, maxBytes: number = LOG_FILE_MAX_BYTES): LogFile {
  let descriptor = openSync(path, 'a', 0o600)
  let size = fstatSync(descriptor).size
  let isClosed = false
  return {
    append(line) {
      // A process's last words may arrive after its end was noticed.
      if (isClosed) return
      const bytes = Buffer.from(`${line}\n`)
      if (size > 0 && size + bytes.length > maxBytes) {
        closeSync(descriptor)
        renameSync(path, `${path}.1`)
        descriptor = openSync(path, 'a', 0o600)
        size = 0
      }
      writeSync(descriptor, bytes)
      size += bytes.length
    },
    close() {
      if (isClosed) return
      isClosed = true
      closeSync(descriptor)
    },
  }
}
