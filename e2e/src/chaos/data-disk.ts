import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const GIB = 1024 ** 3

/** A file system of its own for a system's data folder, so that it can be full without harm to anybody else. */
export interface DataDisk extends Disposable {
  /** Where the data folder is to be; only its owner may look into it. */
  readonly dataDir: string
  /** Takes all its room but for `leftBytes`. */
  fill(leftBytes: number): void
  /** Gives the room back; nothing to do where none was taken. */
  free(): void
  /** Bytes in use. */
  used(): number
}

/** Makes the disk, of so many GiB that take no room before they are used. Root only; disposing takes it away. */
export function openDataDisk(gib: number): DataDisk {
  const folder = mkdtempSync(join(tmpdir(), 'atoll-chaos-'))
  const image = join(folder, 'disk.img')
  const mountPoint = join(folder, 'disk')
  const ballast = join(mountPoint, 'ballast')
  writeFileSync(image, '')
  truncateSync(image, gib * GIB)
  run('mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard', image)
  mkdirSync(mountPoint)
  run('mount', '-t', 'ext4', '-o', 'loop,discard', image, mountPoint)
  const dataDir = join(mountPoint, 'data')
  mkdirSync(dataDir, { mode: 0o700 })
  const freeBytes = () => {
    const { bavail, bsize } = statfsSync(mountPoint)
    return bavail * bsize
  }
  return {
    dataDir,
    fill(leftBytes) {
      const bytes = freeBytes() - leftBytes
      // Others write meanwhile: what does not fit any more is left, and then the disk is full.
      if (bytes > 0) spawnSync('fallocate', ['--length', String(bytes), ballast])
    },
    free: () => rmSync(ballast, { force: true }),
    used: () => gib * GIB - freeBytes(),
    [Symbol.dispose]() {
      run('umount', mountPoint)
      rmSync(folder, { recursive: true })
    },
  }
}

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
}
