import { existsSync, lstatSync, readdirSync, readlinkSync } from 'node:fs'
import { basename, join } from 'node:path'

/** The folder that a runner with a pool of disks holds open: nobody else's mount table shows it. */
const POOL_FOLDER = /\/disk-pool$/

/** Names of the disks in a pool that sandboxes' folders link to, with the sandbox's id (or its draft's). */
export function linkedDisks(sandboxes: string): Map<string, string> {
  const links = (existsSync(sandboxes) ? readdirSync(sandboxes) : []).flatMap((id): [string, string][] => {
    const image = join(sandboxes, id, 'disk.img')
    const isLink = lstatSync(image, { throwIfNoEntry: false })?.isSymbolicLink() ?? false
    return isLink ? [[basename(readlinkSync(image)), id]] : []
  })
  return new Map(links)
}

/** Disks in the pool that no sandbox's folder links to, one line each; none where there is no pool. */
export function auditPool(options: { runnerPid: number | undefined; instance: string; sandboxes: string }): string[] {
  const { runnerPid, instance, sandboxes } = options
  const pool = runnerPid === undefined ? undefined : poolOf(runnerPid)
  if (pool === undefined) return []
  const disks = readdirSync(pool).filter((name) => name.startsWith(`${instance}-`))
  const linked = linkedDisks(sandboxes)
  return [
    ...disks.filter((name) => !linked.has(name)).map((name) => `disk ${name} in the pool has no owner`),
    ...[...linked]
      .filter(([name]) => !disks.includes(name))
      .map(([name, id]) => `${id} has no disk ${name} in the pool`),
  ]
}

function poolOf(pid: number): string | undefined {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .find((path) => POOL_FOLDER.test(targetOf(path)))
}

function targetOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    // Closed meanwhile.
    return ''
  }
}
