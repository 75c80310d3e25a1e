import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'

/** The bound of a log file. A log takes at most twice this: the file itself and the previous one. */
const LOG_FILE_MAX_BYTES = 10 * 1024 * 1024
const NEWLINE = 0x0a

export interface LogFile {
  /** Never throws: a line that cannot be written, because the disk is full, is lost; a later line tells how many were. */
  append(line: string): void
  close(): void
}

/**
 * Opens a log that appends lines to a file; a full file becomes `<path>.1`, replacing the previous one. It writes at once,
 * so there is nothing to flush and nothing to bound in memory. Throws if the file cannot be opened.
 */
export function openLogFile(path: string, maxBytes: number = LOG_FILE_MAX_BYTES): LogFile {
  let descriptor: number | undefined = openSync(path, 'a', 0o600)
  let size = fstatSync(descriptor).size
  let isClosed = false
  let lost = 0
  /** Only the beginning of the last line was written. */
  let isCut = false

  function write(bytes: Uint8Array): void {
    if (size > 0 && size + bytes.length > maxBytes && descriptor !== undefined) {
      closeSync(descriptor)
      descriptor = undefined
      renameSync(path, `${path}.1`)
    }
    if (descriptor === undefined) {
      descriptor = openSync(path, 'a', 0o600)
      size = fstatSync(descriptor).size
    }
    const written = writeSync(descriptor, bytes)
    size += written
    isCut = bytes[written - 1] !== NEWLINE
    if (isCut) throw new Error('the disk took a part of it')
  }

  return {
    append(line) {
      // The last output of a process may arrive after its end was noticed.
      if (isClosed) return
      const before = `${isCut ? '\n' : ''}${lost > 0 ? `${lost} lines before this one could not be written\n` : ''}`
      try {
        write(Buffer.from(`${before}${line}\n`))
        lost = 0
      } catch {
        // A line that cannot be written stops neither the program that is logged nor this one.
        lost += 1
      }
    },
    close() {
      if (isClosed) return
      isClosed = true
      if (descriptor !== undefined) closeSync(descriptor)
    },
  }
}
