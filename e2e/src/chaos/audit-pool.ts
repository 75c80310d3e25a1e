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

/** Disks in the pool that no sandbox's folder links to, and links to disks that are not there, one line each. */
export function auditPool(options: { runnerPid: number | undefined; instance: string; sandboxes: string }): string[] {
  const { runnerPid, instance, sandboxes } = options
  const pool = runnerPid === undefined ? undefined : poolOf(runnerPid)
  const linked = linkedDisks(sandboxes)
  if (pool === undefined)
    return [...linked].map(([name, id]) => `${id} has a disk ${name} in a pool that no runner holds`)
  const disks = readdirSync(pool).filter((name) => name.startsWith(`${instance}-`))
  return [
    ...disks.filter((name) => !linked.has(name)).map((name) => `disk ${name} in the pool has no owner`),
    ...[...linked]
      .filter(([name]) => !disks.includes(name))
      .map(([name, id]) => `${id} has no disk ${name} in the pool`),
  ]
}

/** The folder of its disks, by a way that leads there; undefined of a runner without a pool. */
export function poolOf(pid: number): string | undefined {
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
