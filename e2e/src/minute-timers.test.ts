import { text } from 'node:stream/consumers'
import type { Daytona, Sandbox } from 'daytona-sdk-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { askPreview, startDevServer } from './testing/preview.ts'
import { sdk218 } from './testing/shared-system.ts'

/** A timer of a minute, and the delay that a busy machine may add. */
const MINUTE_TIMER_MS = 150_000
const PORT = 3000

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

  it('leaves what has a terminal or a preview open, though nothing is sent', {
    timeout: 2 * MINUTE_TIMER_MS,
  }, async () => {
    const [typed, shown] = await Promise.all([1, 2].map(() => daytona.create({ autoStopInterval: 1 })))
    if (typed === undefined || shown === undefined) throw new Error('two were made')
    const terminal = await typed.process.createPty({ id: 'open', onData: () => undefined })
    await terminal.waitForConnection()
    await startDevServer(shown, PORT)
    const { url, token } = await shown.getPreviewLink(PORT)
    const headers = { 'x-daytona-preview-token': token }
    const stream = await askPreview(`${url}/stream`, headers)
    const idle = await daytona.create({ autoStopInterval: 1 })
    await untilState(idle, 'stopped', MINUTE_TIMER_MS)
    await Promise.all([typed.refreshData(), shown.refreshData()])
    expect([typed.state, shown.state]).toEqual(['started', 'started'])
    await terminal.disconnect()
    await askPreview(`${url}/stream/go-on`, headers)
    expect(await text(stream)).toBe('first last')
    await Promise.all([idle, typed, shown].map((sandbox) => sandbox.delete()))
  })

  it('ends what has a time to live', { timeout: 2 * MINUTE_TIMER_MS }, async () => {
    const sandbox = await daytona.create({ ttlMinutes: 1 })
    expect(sandbox.autoDestroyAt).toBeDefined()
    await untilState(sandbox, 'destroyed', MINUTE_TIMER_MS)
  })

  it('deletes what was stopped for it, and what it stops where a stop deletes', {
    timeout: 2 * MINUTE_TIMER_MS,
  }, async () => {
    const [stopped, idle] = await Promise.all([
      daytona.create({ autoDeleteInterval: 1 }),
      daytona.create({ autoStopInterval: 1, autoDeleteInterval: 0 }),
    ])
    await stopped.stop()
    await Promise.all([stopped, idle].map((sandbox) => untilState(sandbox, 'destroyed', MINUTE_TIMER_MS)))
  })

  it('archives what was stopped for it', { timeout: 2 * MINUTE_TIMER_MS }, async () => {
    const sandbox = await daytona.create({ autoArchiveInterval: 1 })
    await sandbox.fs.uploadFile(Buffer.from('kept'), 'kept.txt')
    await sandbox.stop()
    await untilState(sandbox, 'archived', MINUTE_TIMER_MS)
    await sandbox.start()
    expect((await sandbox.fs.downloadFile('kept.txt')).toString()).toBe('kept')
    await sandbox.delete()
  })
})
