import { describe, expect, it } from 'vitest'
import { ownSandbox23 } from './testing/own-sandbox.ts'

const own = ownSandbox23()

describe('executeCommand', () => {
  it('returns what was printed to both streams, and the status', async () => {
    const { exitCode, result } = await own.sandbox.process.executeCommand('echo out; echo err >&2; exit 3')
    expect(exitCode).toBe(3)
    expect(result.split('\n').sort()).toEqual(['', 'err', 'out'])
  })

  it('sets variables whose values hold spaces, quotes and dollars', async () => {
    const value = `two words, "double" 'single' $HOME \`id\` \\ ü`
    const { result } = await own.sandbox.process.executeCommand('printf %s "$GIVEN"', undefined, { GIVEN: value })
    expect(result).toBe(value)
  })

  it('runs where it is told', async () => {
    expect((await own.sandbox.process.executeCommand('pwd', '/tmp')).result.trim()).toBe('/tmp')
  })

  it('gives up after its timeout, and the sandbox goes on', async () => {
    const call = own.sandbox.process.executeCommand('sleep 600', undefined, undefined, 1)
    await expect(call).rejects.toThrow(/timeout/i)
    expect((await own.sandbox.process.executeCommand('echo on')).result.trim()).toBe('on')
  })

  it('does not wait for what was put in the background', async () => {
    const { result } = await own.sandbox.process.executeCommand('sleep 600 & echo done')
    expect(result.trim()).toBe('done')
  })

  it('has an empty standard input', async () => {
    expect((await own.sandbox.process.executeCommand('cat; echo end')).result.trim()).toBe('end')
  })

  it('takes a megabyte of output', async () => {
    const { result } = await own.sandbox.process.executeCommand("head -c 1000000 /dev/zero | tr '\\0' x")
    expect(result.length).toBe(1_000_000)
  })

  it('runs code through the SDK’s own Python wrapper', async ({ skip }) => {
    const { exitCode } = await own.sandbox.process.executeCommand('command -v python3')
    skip(exitCode !== 0, 'the host has no python3 to lend')
    const { exitCode: status, result } = await own.sandbox.process.codeRun('print(6 * 7)')
    expect({ status, result: result.trim() }).toEqual({ status: 0, result: '42' })
  })
})
