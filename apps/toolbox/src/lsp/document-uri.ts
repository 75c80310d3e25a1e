import { existsSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { AppError } from '@atoll/protocol'

const SCHEME = 'file://'

/**
 * Returns the path of a client's document URI. SDKs put `file://` before a path that may be relative to the project and is
 * not percent-encoded; editors send proper URIs. A file that exists under the name as it stands is used, else the name is
 * decoded. Throws INVALID_FILE_PATH for another scheme.
 */
export function documentPath(uri: string, projectDir: string): string {
  if (!uri.startsWith(SCHEME)) throw new AppError('INVALID_FILE_PATH', 'a document URI must start with file://')
  const rest = uri.slice(SCHEME.length)
  if (rest.includes('\0')) throw new AppError('INVALID_FILE_PATH', 'a document URI must not contain a NUL character')
  const literal = isAbsolute(rest) ? rest : join(projectDir, rest)
  if (!rest.includes('%') || existsSync(literal)) return literal
  try {
    const decoded = decodeURIComponent(rest)
    return isAbsolute(decoded) ? decoded : join(projectDir, decoded)
  } catch {
    // A % that escapes nothing stands for itself.
    return literal
  }
}

/** Returns the one spelling of a path that language servers are given. */
export function canonicalUri(path: string): string {
  return pathToFileURL(path).href
}
