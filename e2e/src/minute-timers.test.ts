import type { Daytona, Sandbox } from 'daytona-sdk-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { sdk218 } from './testing/shared-system.ts'

/** A timer of a minute, and the delay that a busy machine may add. */
const MINUTE_TIMER_MS = 150_000

let daytona: Daytona

beforeAll(() => {
  daytona = sdk218()
})
afterAll(() => daytona[Symbol.asyncDispose]())

function untilState(sandbox: Sandbox, state: string, timeoutMs: number): Promise<void> {
  const isThere = async () => {
    await sandbox.refreshData()
    return sandbox.state === state
  }
  return eventually(`${sandbox.id} is ${state}`, isThere, timeoutMs)
}

describe.concurrent('a timer of a minute', () => {
  it('stops what is not used, and not what is', { timeout: 2 * MINUTE_TIMER_MS }, async () => {
    const [idle, used] = await Promise.all([1, 2].map(() => daytona.create({ autoStopInterval: 1 })))
    if (idle === undefined || used === undefined) throw new Error('two were made')
    const waiting = used.process.executeCommand('sleep 68; echo done')
    await untilState(idle, 'stopped', MINUTE_TIMER_MS)
    expect((await waiting).result).toBe('done\n')
    await Promise.all([idle.delete(), used.delete()])
  })

  it('leaves what has a terminal open, though nobody types', { timeout: 2 * MINUTE_TIMER_MS }, async () => {
    const sandbox = await daytona.create({ autoStopInterval: 1 })
    const terminal = await sandbox.process.createPty({ id: 'open', onData: () => undefined })
    await terminal.waitForConnection()
    const idle = await daytona.create({ autoStopInterval: 1 })
    await untilState(idle, 'stopped', MINUTE_TIMER_MS)
    await sandbox.refreshData()
    expect(sandbox.state).toBe('started')
    await terminal.disconnect()
    await Promise.all([idle.delete(), sandbox.delete()])
  })

  it('ends what has a time to live', { timeout: 2 * MINUTE_TIMER_MS }, async () => {
    const sandbox = await daytona.create({ ttlMinutes: 1 })
    expect(sandbox.autoDestroyAt).toBeDefined()
    await untilState(sandbox, 'destroyed', MINUTE_TIMER_MS)
  })

  it('deletes what was stopped for it', { timeout: 2 * MINUTE_TIMER_MS }, async () => {
    const sandbox = await daytona.create({ autoDeleteInterval: 1 })
    await sandbox.stop()
    await untilState(sandbox, 'destroyed', MINUTE_TIMER_MS)
  })
})
