import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { ProcessFacts } from '@atoll/dev-env'
import { descendantsOf, listProcesses } from '@atoll/dev-env'
import { auditPool, linkedDisks } from './audit-pool.ts'
import type { SandboxRow, SystemRows } from './system-rows.ts'
import type { Victims } from './victims.ts'

/** What of a system is on the host, compared with its rows; the sandboxes in `running` have processes, no others. */
export interface HostAudit {
  dataDir: string
  rows: SystemRows
  victims: Victims
}

const CGROUP_ROOT = '/sys/fs/cgroup'
/** Where a sandbox's disk lies. */
const OF_A_FOLDER = /\/sandboxes\/([0-9a-f-]{36})\/disk\.img/
/** What the runner makes in a sandbox's folder for a time. */
const FOR_A_TIME = /^(export|import|copy)-|\.draft-/
/** Of a sandbox whose files are there. */
const SANDBOX_FILES = ['sandbox.json', 'disk.img']

/** One line for each thing without an owner and each row that the host does not bear out. */
export function auditHost(audit: HostAudit): string[] {
  const runner = join(audit.dataDir, 'runner')
  const instance = readFileSync(join(runner, 'instance-id'), 'utf8').trim()
  const running = new Set(idsOf(audit.rows, ({ state }) => state === 'started'))
  return [
    ...auditProcesses(audit, instance, running),
    ...compare('control group', cgroupsOf(instance), running),
    ...compare('loop device', loopDevicesOf(runner, instance), running),
    ...compare('record of the OCI runtime', names(join(runner, 'state')), running),
    ...auditMounts(audit.dataDir),
    ...auditDevices(instance, running.size),
    ...auditFolders(runner, audit.rows),
    ...auditPool({ runnerPid: audit.victims.runner(), instance, sandboxes: join(runner, 'sandboxes') }),
    ...auditObjectFiles(audit),
  ]
}

function auditProcesses({ dataDir, victims }: HostAudit, instance: string, running: ReadonlySet<string>): string[] {
  const processes = listProcesses()
  const postmaster = victims.postmaster()
  const known = new Set([
    ...[victims.supervisor(), victims.api(), victims.runner()],
    ...(postmaster === undefined ? [] : descendantsOf(postmaster, processes)),
  ])
  const sandboxOf = (one: ProcessFacts) =>
    new RegExp(`/atoll-${instance}/([^/\n]+)`).exec(one.cgroups)?.[1] ??
    /\/runner\/sandboxes\/([^/ ]+)/.exec(one.command)?.[1]
  const own = processes.filter(
    (one) =>
      !known.has(one.pid) &&
      one.pid !== process.pid &&
      (one.command.includes(`${dataDir}/`) || one.cgroups.includes(`/atoll-${instance}/`)),
  )
  const strays = own.filter((one) => {
    const sandbox = sandboxOf(one)
    return sandbox === undefined ? !isLockHolder(one, dataDir) : !running.has(sandbox)
  })
  const alive = new Set(own.filter(({ cgroups }) => cgroups.includes(`/atoll-${instance}/`)).map(sandboxOf))
  return [
    ...strays.map(({ pid, command }) => `process ${pid} has no owner: ${command.slice(0, 200)}`),
    ...[...running].filter((id) => !alive.has(id)).map((id) => `${id} is started and has no process`),
  ]
}

/** The kernel's lock on the runner's folder is held by a program that ends with the runner. */
function isLockHolder({ command }: ProcessFacts, dataDir: string): boolean {
  return command.startsWith('flock ') && command.includes(join(dataDir, 'runner/lock'))
}

/** `found` must be once for each of `wanted`, and for nothing else. */
function compare(what: string, found: readonly string[], wanted: ReadonlySet<string>): string[] {
  const seen = new Set(found)
  const twice = found.filter((id, index) => found.indexOf(id) !== index)
  return [
    ...[...seen].filter((id) => !wanted.has(id)).map((id) => `${what} of ${id}, which does not run`),
    ...[...wanted].filter((id) => !seen.has(id)).map((id) => `no ${what} of ${id}, which runs`),
    ...new Set(twice.map((id) => `more than one ${what} of ${id}`)),
  ]
}

function cgroupsOf(instance: string): string[] {
  const trees = [CGROUP_ROOT, ...names(CGROUP_ROOT).map((name) => join(CGROUP_ROOT, name))]
  const folders = (path: string) =>
    existsSync(path) ? readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory()) : []
  return [...new Set(trees.flatMap((tree) => folders(join(tree, `atoll-${instance}`)).map(({ name }) => name)))]
}

/**
 * Sandboxes whose disk is mounted anywhere, in whichever namespace: once nothing is left of the one that it was mounted
 * in, its path begins at the file system's own root. Where disks lie in a pool, a sandbox's folder has a
 * link to its own, whose name begins with that of the runner's instance.
 */
function loopDevicesOf(runner: string, instance: string): string[] {
  const sandboxes = `${join(runner, 'sandboxes')}/`
  const folders = names(sandboxes)
  const ofPool = linkedDisks(sandboxes)
  return names('/sys/block').flatMap((device) => {
    const backing = readText(`/sys/block/${device}/loop/backing_file`).trim()
    const [, id = ''] = OF_A_FOLDER.exec(backing) ?? []
    if (folders.includes(id) || backing.startsWith(sandboxes)) return [id]
    if (!basename(backing).startsWith(`${instance}-`)) return []
    return [ofPool.get(basename(backing)) ?? `nobody (${backing})`]
  })
}

/** Everything of a sandbox is mounted in namespaces of its own. */
function auditMounts(dataDir: string): string[] {
  const points = readText('/proc/self/mountinfo')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
  return points.filter((point) => point.startsWith(`${dataDir}/`)).map((point) => `mount at ${point}`)
}

/** Ports of the bridge have numbers and not the names of sandboxes: what counts is how many there are. */
function auditDevices(instance: string, running: number): string[] {
  const mark = createHash('sha256').update(instance).digest('hex').slice(0, 7)
  const ports = names('/sys/class/net').filter((name) => name.startsWith(`at${mark}p`))
  const tables = (spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' }).stdout ?? '').split('\n')
  const own = tables.filter((line) => line.includes(`atoll_${mark}`))
  return [
    ...(ports.length === running || ports.length === 0
      ? []
      : [`${ports.length} network devices of ${running} sandboxes`]),
    ...(new Set(own).size === own.length ? [] : [`firewall tables: ${own.join(', ')}`]),
  ]
}

function auditFolders(runner: string, rows: SystemRows): string[] {
  const sandboxes = join(runner, 'sandboxes')
  const wanted = new Set(idsOf(rows, (row) => hasFiles(row)))
  // What failed to be made may be there or not.
  const allowed = new Set(idsOf(rows, ({ state, runnerId }) => state === 'error' && runnerId !== null))
  const found = names(sandboxes)
  return [
    ...found.filter((id) => !wanted.has(id) && !allowed.has(id)).map((id) => `folder sandboxes/${id} has no owner`),
    ...[...wanted].filter((id) => !found.includes(id)).map((id) => `${id} has no folder on its runner`),
    ...found.flatMap((id) =>
      names(join(sandboxes, id))
        .filter((name) => FOR_A_TIME.test(name))
        .map((name) => `left behind: sandboxes/${id}/${name}`),
    ),
    ...[...wanted]
      .filter((id) => found.includes(id))
      .flatMap((id) => missingFiles(join(sandboxes, id)).map((name) => `${id} has no ${name}`)),
    ...['layers', 'snapshots', 'volumes'].flatMap((folder) =>
      names(join(runner, folder))
        .filter((name) => name.includes('draft'))
        .map((name) => `left behind: ${folder}/${name}`),
    ),
  ]
}

function missingFiles(folder: string): string[] {
  return SANDBOX_FILES.filter((name) => !names(folder).includes(name))
}

function hasFiles({ state, recoverableTo }: SandboxRow): boolean {
  return state === 'started' || state === 'stopped' || (state === 'error' && recoverableTo === 'stopped')
}

/** Files of objects, whole or being written, against the rows that know of them. */
function auditObjectFiles({ dataDir, rows }: HostAudit): string[] {
  const folder = join(dataDir, 'objects')
  const known = new Set(rows.objectFiles.map(({ name }) => name))
  const complete = names(join(folder, 'files')).flatMap((part) => names(join(folder, 'files', part)))
  const there = new Set(complete)
  return [
    ...[...complete, ...names(join(folder, 'incoming'))]
      .filter((name) => !known.has(name))
      .map((name) => `file ${name} of the object store has no row`),
    ...rows.objectFiles
      .filter(({ name, isHeld }) => isHeld && !there.has(name))
      .map(({ name }) => `file ${name} of the object store is gone`),
  ]
}

function idsOf({ sandboxes }: SystemRows, which: (row: SandboxRow) => boolean): string[] {
  return sandboxes.filter(which).map(({ id }) => id)
}

function names(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // It went while we looked, or is of another kind.
    return ''
  }
}
