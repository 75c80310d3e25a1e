import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openFreezer } from './cgroup-freezer.ts'

/** The cgroup trees to test: a host has one kind or the other, and some hosts have both. */
const trees = [
  { layout: 'v2', root: '/sys/fs/cgroup' },
  { layout: 'v2', root: '/sys/fs/cgroup/unified' },
  { layout: 'v1', root: '/sys/fs/cgroup/freezer' },
] as const
const present = trees.filter(({ root, layout }) =>
  existsSync(join(root, layout === 'v2' ? 'cgroup.controllers' : 'cgroup.procs')),
)

/** How long a test waits to see that a frozen process does not answer, in milliseconds. */
const SILENCE_MS = 100

describe.each(present)('the freezer of $layout at $root', ({ layout, root }) => {
  it('stops every process, of which none runs until it is thawed', async () => {
    const directory = join(root, `atoll-test-${randomUUID()}`)
    await mkdir(directory)
    // `cat` writes back each line it reads, so no other output can be on its way.
    const child = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] })
    const answer = async (question: string) => {
      child.stdin.write(question)
      return String((await once(child.stdout, 'data'))[0])
    }
    try {
      expect(await answer('before')).toBe('before')
      await writeFile(join(directory, 'cgroup.procs'), String(child.pid))
      const freezer = openFreezer(layout)
      await freezer.freeze(directory)
      const late = answer('frozen')
      const silence = new Promise((resolve) => setTimeout(() => resolve('silence'), SILENCE_MS))
      expect(await Promise.race([late, silence])).toBe('silence')
      await freezer.thaw(directory)
      await freezer.thaw(directory)
      expect(await late).toBe('frozen')
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
