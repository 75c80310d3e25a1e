import { describe, expect, it } from 'vitest'
import { ownSandbox218 } from './testing/own-sandbox.ts'

const own = ownSandbox218()

describe('executeCommand of SDK 0.218', () => {
  it('returns what was printed to both streams, and the status', async () => {
    const { exitCode, result } = await own.sandbox.process.executeCommand('echo out; echo err >&2; exit 3')
    expect(exitCode).toBe(3)
    expect(result.split('\n').sort()).toEqual(['', 'err', 'out'])
  })

  it('runs where it is told, with the variables it is given', async () => {
    const { result } = await own.sandbox.process.executeCommand('echo "$(pwd) $GIVEN"', '/tmp', { GIVEN: 'two words' })
    expect(result).toBe('/tmp two words\n')
  })

  it('gives up after its timeout, and the sandbox goes on', async () => {
    await expect(own.sandbox.process.executeCommand('sleep 600', undefined, undefined, 1)).rejects.toThrow(/timeout/i)
    expect((await own.sandbox.process.executeCommand('echo on')).result).toBe('on\n')
  })
})
