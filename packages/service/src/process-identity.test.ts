import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import {
  findProcess,
  identifyProcess,
  isAlive,
  readProcess,
  sendSignal,
  signalProcess,
  waitForEnd,
} from './process-identity.ts'

describe('a process', () => {
  it('is known by its number and its start, and gone when it is gone', async () => {
    const child = spawn('sleep', ['1000'])
    await once(child, 'spawn')
    const identity = identifyProcess(child.pid ?? -1)
    if (identity === undefined) throw new Error('no such process')
    expect(isAlive(identity)).toBe(true)
    expect(readProcess(identity.pid)?.parentPid).toBe(process.pid)
    expect(findProcess({ ...identity, start: 'another boot:1' })).toBeUndefined()
    expect(await waitForEnd(identity, 1)).toBe(false)
    signalProcess({ ...identity, start: 'another boot:1' }, 'SIGKILL')
    expect(isAlive(identity)).toBe(true)
    signalProcess(identity, 'SIGKILL')
    expect(await waitForEnd(identity, 10_000)).toBe(true)
    sendSignal(identity.pid, 'SIGTERM')
  })

  it('tells its status once it has ended and nobody has collected it', async () => {
    // The shell is stopped before its child ends, so that it cannot reap the child.
    const parent = spawn('sh', ['-c', 'exec 3<&0; (read go <&3; exit 7) & echo $!; wait'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const [line] = await once(parent.stdout, 'data')
    const child = identifyProcess(Number(line))
    if (child === undefined || parent.pid === undefined) throw new Error('no such process')
    sendSignal(parent.pid, 'SIGSTOP')
    parent.stdin.end('go\n')
    expect(await waitForEnd(child, 10_000)).toBe(true)
    const found = findProcess(child)
    expect(identifyProcess(child.pid)).toBeUndefined()
    sendSignal(parent.pid, 'SIGKILL')
    expect(found?.waitStatus).toBe(7 << 8)
  })

  it('may have any name', async () => {
    const child = spawn('sh', ['-c', "printf ') Z 1 (' > /proc/self/comm; echo; exec cat"], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    await once(child.stdout, 'data')
    expect(readProcess(child.pid ?? -1)?.waitStatus).toBeUndefined()
    child.kill('SIGKILL')
  })
})
