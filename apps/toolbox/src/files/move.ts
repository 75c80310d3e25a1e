import { lstat, rename } from 'node:fs/promises'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { errnoOf, fsError } from './fs-error.ts'

/** Moves or renames, but never over an existing file. A link is moved itself. Works across devices, by a copy. */
export function createMove(work: WorkDirectory): Handler<ToolboxOperations['moveFile']> {
  // rename(2) replaces silently, so two moves to one path must not both find it free.
  const underWay = new Set<string>()

  return async ({ queryBytes, signal }) => {
    const given = { source: queryBytes('source'), destination: queryBytes('destination') }
    const source = work.resolve(given.source)
    const destination = work.resolve(given.destination)
    const key = destination.toString('latin1')
    if (underWay.has(key)) throw exists(given.destination)
    underWay.add(key)
    try {
      await onPath(given.source, lstat(source))
      if (await isThere(destination, given.destination)) throw exists(given.destination)
      await onPath(given.destination, renameOrCopy({ source, destination, signal }))
    } finally {
      underWay.delete(key)
    }
  }
}

function exists(path: Buffer): AppError {
  return new AppError('FILE_EXISTS', `already exists: ${path}`)
}

async function onPath<Result>(path: Buffer, work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    throw fsError(error, path, 'FILE_WRITE_FAILED')
  }
}

async function isThere(path: Buffer, given: Buffer): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw fsError(error, given, 'FILE_WRITE_FAILED')
  }
}

async function renameOrCopy(options: { source: Buffer; destination: Buffer; signal: AbortSignal }): Promise<void> {
  try {
    await rename(options.source, options.destination)
  } catch (error) {
    if (errnoOf(error) !== 'EXDEV') throw error
    const { moveAcrossDevices } = await import('./move-across-devices.ts')
    await moveAcrossDevices(options)
  }
}
