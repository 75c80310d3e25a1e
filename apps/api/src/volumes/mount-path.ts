import type { SandboxVolume } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'

/** Folders that a sandbox needs itself. */
const RESERVED = ['/opt/atoll', '/run/atoll', '/proc', '/sys', '/dev']

/**
 * Characters that no path may hold. NUL ends a path for the system, a newline makes a line of a mount table, and half
 * of a surrogate pair is no text.
 */
const UNFIT = /[\p{Cc}\p{Surrogate}]/u

/** Throws BAD_REQUEST for paths at which nothing can be mounted, and for two volumes at one path. */
export function checkMounts(mounts: readonly SandboxVolume[]): void {
  const seen = new Set<string>()
  for (const { mountPath, subpath } of mounts) {
    checkMountPath(mountPath)
    if (seen.has(mountPath)) throw refused(`mountPath ${mountPath} is there twice`)
    seen.add(mountPath)
    if (subpath) checkParts('subpath', subpath)
  }
}

function checkMountPath(path: string): void {
  if (!path.startsWith('/') || path === '/') throw refused(`mountPath ${path} must be absolute, and not the root`)
  checkParts('mountPath', path.slice(1))
  for (const reserved of RESERVED) {
    if (isWithin(path, reserved) || isWithin(reserved, path)) throw refused(`Nothing can be mounted at ${path}`)
  }
}

function checkParts(field: string, path: string): void {
  if (UNFIT.test(path)) throw refused(`${field} must hold no control character and no half of a surrogate pair`)
  if (path.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw refused(`${field} ${path} must have no empty part and none that is a dot or two`)
  }
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`)
}

function refused(message: string): AppError {
  return new AppError('BAD_REQUEST', message)
}
