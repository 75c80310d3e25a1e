import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { killEverything } from './kill-everything.ts'
import { findLeftovers } from './leftovers.ts'

const isRoot = process.getuid?.() === 0
const FREEZERS = '/sys/fs/cgroup/freezer'
let dataDir: string

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'atoll-leftovers-'))
})
afterEach(() => rmSync(dataDir, { recursive: true }))

describe('findLeftovers', () => {
  it('finds nothing where nothing was started', () => {
    expect(findLeftovers(dataDir)).toEqual([])
  })

  it('finds a process by its environment and by its arguments, and killEverything ends them', async () => {
    const env = { ...process.env, ATOLL_DATA_DIR: dataDir }
    const byEnvironment = spawn('sleep', ['60'], { env, stdio: 'ignore' })
    const byArgument = spawn('sh', ['-c', 'sleep 60; :', `${dataDir}/file`], { stdio: 'ignore' })
    const ended = [byEnvironment, byArgument].map((child) => once(child, 'exit'))
    await Promise.all([byEnvironment, byArgument].map((child) => once(child, 'spawn')))
    const found = () => findLeftovers(dataDir).map((one) => Number(one.name.split(' ')[0]))
    expect(found()).toEqual(expect.arrayContaining([byEnvironment.pid, byArgument.pid]))
    await killEverything(dataDir, byArgument)
    await Promise.all(ended)
    expect(findLeftovers(dataDir)).toEqual([])
  })

  it.runIf(isRoot && existsSync(FREEZERS))('killEverything ends a process that is frozen', async () => {
    const freezer = mkdtempSync(join(FREEZERS, 'atoll-leftovers-'))
    const frozen = spawn('sleep', ['60'], { env: { ...process.env, ATOLL_DATA_DIR: dataDir }, stdio: 'ignore' })
    const ended = once(frozen, 'exit')
    await once(frozen, 'spawn')
    writeFileSync(join(freezer, 'cgroup.procs'), String(frozen.pid))
    writeFileSync(join(freezer, 'freezer.state'), 'FROZEN')
    await killEverything(dataDir, frozen)
    await ended
    rmdirSync(freezer)
  })

  it.runIf(isRoot)('finds a mount below the data folder', () => {
    const mountPoint = join(dataDir, 'mounted')
    mkdirSync(mountPoint)
    run('mount', '-t', 'tmpfs', 'none', mountPoint)
    expect(findLeftovers(dataDir)).toEqual([{ kind: 'mount', name: mountPoint }])
    run('umount', mountPoint)
  })

  it.runIf(isRoot)('finds a loop device over a file below the data folder', () => {
    const image = join(dataDir, 'image')
    writeFileSync(image, Buffer.alloc(1024 * 1024))
    const device = run('losetup', '--find', '--show', image).trim()
    expect(findLeftovers(dataDir)).toEqual([{ kind: 'loop device', name: `${device.replace('/dev/', '')} ${image}` }])
    run('losetup', '--detach', device)
  })

  it.runIf(isRoot)('finds a loop device over a disk of a pool that is mounted nowhere any more', () => {
    mkdirSync(join(dataDir, 'runner'))
    writeFileSync(join(dataDir, 'runner', 'instance-id'), '0123abcd')
    const folder = mkdtempSync(join(tmpdir(), 'atoll-pool-'))
    const image = join(folder, '0123abcd-1.img')
    writeFileSync(image, Buffer.alloc(1024 * 1024))
    const device = run('losetup', '--find', '--show', image).trim()
    expect(findLeftovers(dataDir)).toEqual([{ kind: 'loop device', name: `${device.replace('/dev/', '')} ${image}` }])
    run('losetup', '--detach', device)
    rmSync(folder, { recursive: true })
  })
})

function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command}: ${stderr}`)
  return stdout
}
