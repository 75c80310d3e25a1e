import { expect, it } from 'vitest'
import { createConcurrencyLimit } from '../../concurrency.ts'
import { holdStill } from './hold-still.ts'
import type { KnownSandbox } from './known-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import { sandboxFolder } from './sandbox-folder.ts'

it('a sandbox runs on while it waits for a place, and stands still only while it is used', async () => {
  const happened: string[] = []
  const note = (what: string) => async () => void happened.push(what)
  const cgroups = { freeze: note('freeze'), thaw: note('thaw') } as unknown as OciHost['cgroups']
  const process = { pid: 1, start: '1' }
  const sandbox = {
    ...{ sandboxId: 'parent', folder: sandboxFolder('/none', 'parent'), isHalted: false, isLookedAt: false },
    running: { init: process, monitor: process },
  } as KnownSandbox
  const limit = createConcurrencyLimit(1)
  let release: () => void = () => undefined
  const taken = limit(async () => {
    await new Promise<void>((resolve) => {
      release = resolve
    })
  })
  const held = holdStill({ cgroups }, sandbox, { use: note('use'), limit })
  const waits = limit(note('whoever comes next'))
  expect(happened).toEqual([])
  release()
  await Promise.all([taken, held, waits])
  expect(happened).toEqual(['freeze', 'use', 'thaw', 'whoever comes next'])
})
