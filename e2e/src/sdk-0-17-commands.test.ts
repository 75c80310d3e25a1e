import { describe, expect, it } from 'vitest'
import { ownSandbox17 } from './testing/own-sandbox.ts'

const own = ownSandbox17()

describe('executeCommand of SDK 0.17', () => {
  it('returns what was printed to both streams, and the status', async () => {
    const { exitCode, result } = await own.sandbox.process.executeCommand('echo out; echo err >&2; exit 3')
    expect(exitCode).toBe(3)
    expect(result.split('\n').sort()).toEqual(['', 'err', 'out'])
  })

  it('runs where it is told, and gives up after its timeout', async () => {
    expect((await own.sandbox.process.executeCommand('pwd', '/tmp')).result.trim()).toBe('/tmp')
    await expect(own.sandbox.process.executeCommand('sleep 600', undefined, undefined, 1)).rejects.toThrow(/timeout/i)
  })

  it('runs code through the SDK’s own Python wrapper', async ({ skip }) => {
    const { exitCode } = await own.sandbox.process.executeCommand('command -v python3')
    skip(exitCode !== 0, 'the host has no python3 to lend')
    const { exitCode: status, result } = await own.sandbox.process.codeRun('print(6 * 7)')
    expect({ status, result: result.trim() }).toEqual({ status: 0, result: '42' })
  })
})
