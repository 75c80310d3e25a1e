import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import type { GetHarness } from './testing/conformance-terms.ts'
import { ENDS_WITHIN_MS, expectTraces, folders, GRACE_MS, START } from './testing/conformance-terms.ts'

/** Tests that a new driver knows the sandboxes of a driver that ended, in whatever way. */
export function describeRestart(get: GetHarness): void {
  it('finds running and stopped sandboxes again after a kill -9, and the running ones never noticed', async () => {
    const running = await get().startSandbox({ network: 'nat' })
    const stopped = await get().startSandbox()
    await stopped.exec('echo kept > file')
    await get().driver.stop(stopped.sandboxId, GRACE_MS)
    await get().crash()
    const states = Object.fromEntries((await get().driver.list()).map(({ sandboxId, state }) => [sandboxId, state]))
    expect(states).toEqual({ [running.sandboxId]: 'running', [stopped.sandboxId]: 'stopped' })
    expect((await running.exec('echo alive')).stdout).toBe('alive\n')
    const again = await get().startSandbox({}, { sandboxId: stopped.sandboxId })
    expect((await again.exec('cat file')).stdout).toBe('kept\n')
    const status = get().nextStatus(running.sandboxId)
    running.exit(3)
    expect(await status).toMatchObject({ state: 'stopped', reason: 'exit 3' })
    const restarted = await get().startSandbox({ network: 'nat' }, { sandboxId: running.sandboxId })
    await get().driver.stop(restarted.sandboxId, GRACE_MS)
  })

  it('notices at its start what ended while it was away, and why', async () => {
    const sandbox = await get().startSandbox()
    await sandbox.exec('echo kept > file')
    await get().crash(async () => {
      sandbox.exit(5)
      await sandbox.ended
    })
    const { sandboxId } = sandbox
    // The driver may also have found the sandbox alive before it ended, and then reports its end.
    const told = get().nextStatus(sandboxId)
    told.catch(() => undefined)
    const status = await get().driver.get(sandboxId)
    const settled = status.state === 'stopped' ? status : await told
    expect(settled).toEqual({ sandboxId, state: 'stopped', reason: 'exit 5' })
    await expectTraces(get, folders(sandbox))
    const again = await get().startSandbox({}, { sandboxId })
    expect((await again.exec('cat file')).stdout).toBe('kept\n')
  })

  it('keeps files over a kill -9 of everything', async () => {
    const sandbox = await get().startSandbox({ network: 'nat' })
    const { sandboxId } = sandbox
    await sandbox.exec('echo kept > file')
    await get().crash(async () => {
      await get().killEverything(sandboxId)
      await sandbox.ended
    })
    expect(await get().driver.get(sandboxId)).toMatchObject({ state: 'stopped' })
    await expectTraces(get, folders(sandbox))
    const again = await get().startSandbox({ network: 'nat' }, { sandboxId })
    expect((await again.exec('cat file')).stdout).toBe('kept\n')
  })

  it('survives being killed while it creates, starts and removes', async () => {
    const { driver, defaultSpec } = get()
    const ids = Array.from({ length: 6 }, () => randomUUID())
    const interrupted = ids.map(async (sandboxId, index) => {
      await driver.create(sandboxId, defaultSpec)
      await driver.start(sandboxId, START)
      if (index % 2 === 0) await driver.remove(sandboxId)
    })
    const settled = Promise.allSettled(interrupted)
    await Promise.race(interrupted)
    await get().crash()
    await settled
    for (const { sandboxId, state } of await get().driver.list()) {
      // The agent of an adopted sandbox does not dial home again.
      if (state === 'running') await get().driver.stop(sandboxId, 0)
      const sandbox = await get().startSandbox({}, { sandboxId })
      expect((await sandbox.exec('echo works')).stdout).toBe('works\n')
      await get().driver.remove(sandboxId)
    }
    await expectTraces(get, [])
  })

  describeLaunchRestart(get)
}

/** Traces of a launch that show how far it has come: its files, its network, its runtime. */
const STAGES = [/^folder .*\.draft-/m, /^network device /m, /^cgroup /m]

function describeLaunchRestart(get: GetHarness): void {
  it.each(STAGES)('survives being killed while sandboxes are launched, when there is %s', async (stage) => {
    const { driver, defaultSpec } = get()
    const spec = { ...defaultSpec, network: 'nat' as const }
    const ids = Array.from({ length: 4 }, () => randomUUID())
    const launches = ids.map((sandboxId) => driver.launch(sandboxId, { spec, start: START }))
    const settled = Promise.allSettled(launches)
    let over = false
    void settled.then(() => {
      over = true
    })
    // All launches may be over before the test sees one in this stage.
    while (!over && !stage.test((await get().traces()).join('\n')));
    await get().crash()
    await settled
    const known = await get().driver.list()
    const running = known.filter(({ state }) => state === 'running')
    const devices = (await get().traces()).filter((trace) => trace.startsWith('network device '))
    expect(devices.length).toBeLessThanOrEqual(running.length)
    for (const sandboxId of ids) {
      const launched = await get().driver.launch(sandboxId, { spec, start: START })
      expect(launched).toEqual({ sandboxId, state: 'running' })
      await get().driver.remove(sandboxId)
    }
    await expectTraces(get, [])
  })
}

/** Tests that nothing of a sandbox or a driver outlives it on the host, except files. */
export function describeTraces(get: GetHarness): void {
  it('leaves nothing on the host of a sandbox that was removed', async () => {
    const sandboxes = await Promise.all([get().startSandbox({ network: 'nat' }), get().startSandbox({ user: 'root' })])
    expect((await get().traces()).join('\n')).toMatch(/process .*\n(.*\n)*cgroup /)
    for (const { sandboxId } of sandboxes) await get().driver.remove(sandboxId)
    await expectTraces(get, [])
  })

  it('stops everything at the end, tells so, and refuses to start more', async () => {
    const harness = get()
    const sandbox = await harness.startSandbox({ network: 'nat' })
    await sandbox.exec('echo kept > file')
    const status = harness.nextStatus(sandbox.sandboxId)
    await harness.driver.stopAll(GRACE_MS)
    expect(await status).toMatchObject({ state: 'stopped', reason: 'runner is shutting down' })
    await expect(harness.driver.start(sandbox.sandboxId, START)).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
    await harness.driver[Symbol.asyncDispose]()
    await expectTraces(get, folders(sandbox))
    await expect.poll(() => harness.sharedTraces(), { timeout: ENDS_WITHIN_MS }).toEqual([])
    await harness.crash()
    const again = await harness.startSandbox({ network: 'nat' }, { sandboxId: sandbox.sandboxId })
    expect((await again.exec('cat file')).stdout).toBe('kept\n')
  })
}
