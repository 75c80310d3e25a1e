import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openFreezer } from './cgroup-freezer.ts'

/** A host has trees of one kind or the other, and some have both. */
const trees = [
  { layout: 'v2', root: '/sys/fs/cgroup' },
  { layout: 'v2', root: '/sys/fs/cgroup/unified' },
  { layout: 'v1', root: '/sys/fs/cgroup/freezer' },
] as const
const present = trees.filter(({ root, layout }) =>
  existsSync(join(root, layout === 'v2' ? 'cgroup.controllers' : 'cgroup.procs')),
)

const TICKING = "process.stdout.write('.'); setInterval(() => process.stdout.write('.'), 5)"

describe.each(present)('the freezer of $layout at $root', ({ layout, root }) => {
  it('stops every process, of which none runs until it is thawed', async () => {
    const directory = join(root, `atoll-test-${randomUUID()}`)
    await mkdir(directory)
    const child = spawn(process.execPath, ['-e', TICKING], { stdio: ['ignore', 'pipe', 'ignore'] })
    try {
      await once(child.stdout, 'data')
      await writeFile(join(directory, 'cgroup.procs'), String(child.pid))
      const freezer = openFreezer(layout)
      await freezer.freeze(directory)
      await drained(child)
      const ticked = once(child.stdout, 'data').then(() => 'ticked')
      const silence = new Promise((resolve) => setTimeout(() => resolve('silence'), 100))
      expect(await Promise.race([ticked, silence])).toBe('silence')
      await freezer.thaw(directory)
      await freezer.thaw(directory)
      expect(await ticked).toBe('ticked')
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
      await expect
        .poll(() =>
          rmdir(directory).then(
            () => 'gone',
            () => 'busy',
          ),
        )
        .toBe('gone')
    }
  })

  it('has nothing to thaw where nothing is', async () => {
    await openFreezer(layout).thaw(join(root, `atoll-test-${randomUUID()}`))
  })
})

/** What was written before the freezing has been read. */
async function drained(child: ChildProcess): Promise<void> {
  for (;;) {
    const data = once(child.stdout ?? child, 'data').then(() => true)
    const nothing = new Promise((resolve) => setTimeout(() => resolve(false), 50))
    if ((await Promise.race([data, nothing])) === false) return
  }
}
