import { randomUUID } from 'node:crypto'
import { DaytonaGoneError, DaytonaNotFoundError } from 'daytona-sdk-0-218'
import { describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { shell } from './testing/in-sandbox.ts'
import { ownSandbox218 } from './testing/own-sandbox.ts'
import { describeSessions, startCommand, waitingCommand } from './testing/session-scenario.ts'

const own = ownSandbox218()

async function newSession(): Promise<string> {
  const id = randomUUID()
  await own.sandbox.process.createSession(id)
  return id
}

describeSessions('SDK 0.218', own)

describe('logs of sessions through SDK 0.218', () => {
  it('tell the streams apart, in the answer and in the log', async () => {
    const { process } = own.sandbox
    const id = await newSession()
    const answer = await process.executeSessionCommand(id, { command: 'echo out; echo err >&2; (exit 3)' })
    expect(answer).toMatchObject({ exitCode: 3, stdout: 'out\n', stderr: 'err\n' })
    const logs = await process.getSessionCommandLogs(id, answer.cmdId)
    expect(logs).toMatchObject({ stdout: 'out\n', stderr: 'err\n' })
    expect(logs.output?.split('\n').sort()).toEqual(['', 'err', 'out'])
  })

  it('are followed as they come, each stream for itself, to their end', async () => {
    const { process } = own.sandbox
    const id = await newSession()
    const command = await startCommand(own.sandbox, id, waitingCommand(`/tmp/${id}`))
    let [stdout, stderr] = ['', '']
    let released: Promise<unknown> | undefined
    const onStdout = (chunk: string) => {
      stdout += chunk
      if (stdout.includes('first\n')) released ??= shell(own.sandbox, `touch /tmp/${id}/go`)
    }
    await process.getSessionCommandLogs(id, command, onStdout, (chunk) => {
      stderr += chunk
    })
    await released
    expect({ stdout, stderr }).toEqual({ stdout: 'first\nlast\n', stderr: 'wrong\n' })
    expect((await process.getSessionCommand(id, command)).exitCode).toBe(4)
  })

  it('are followed by two at once, and come whole when they are long', async () => {
    const { process } = own.sandbox
    const id = await newSession()
    const command = await startCommand(own.sandbox, id, `yes '${'x'.repeat(99)}' | head -n 10000`)
    const follow = async () => {
      const chunks: string[] = []
      await process.getSessionCommandLogs(
        id,
        command,
        (chunk) => void chunks.push(chunk),
        () => {},
      )
      return chunks.join('')
    }
    const expected = `${'x'.repeat(99)}\n`.repeat(10_000)
    expect(await Promise.all([follow(), follow()])).toEqual([expected, expected])
  })
})

describe('input of commands through SDK 0.218', () => {
  it('reaches the command that reads, until it has ended', async () => {
    const { process } = own.sandbox
    const id = await newSession()
    const command = await startCommand(own.sandbox, id, 'read one; read two; echo "got $one and $two"')
    await process.sendSessionCommandInput(id, command, 'first line')
    await process.sendSessionCommandInput(id, command, 'second\n')
    await eventually('it has ended', async () => (await process.getSessionCommand(id, command)).exitCode === 0)
    expect((await process.getSessionCommandLogs(id, command)).stdout).toContain('got first line and second\n')
    await expect(process.sendSessionCommandInput(id, command, 'late')).rejects.toBeInstanceOf(DaytonaGoneError)
    await expect(process.sendSessionCommandInput(id, 'none', 'lost')).rejects.toBeInstanceOf(DaytonaNotFoundError)
  })
})

describe('the entrypoint through SDK 0.218', () => {
  it('is a session of its own, whose logs are read and followed', async () => {
    const { process } = own.sandbox
    expect(await process.getEntrypointSession()).toMatchObject({ sessionId: 'entrypoint' })
    const logs = await process.getEntrypointLogs()
    expect(logs).toMatchObject({ output: expect.any(String), stdout: expect.any(String), stderr: expect.any(String) })
    let followed = ''
    await process.getEntrypointLogs(
      (chunk) => {
        followed += chunk
      },
      () => {},
    )
    expect(followed).toBe(logs.stdout)
  })
})
