import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { ownSandbox218 } from './testing/own-sandbox.ts'
import { startCommand } from './testing/session-scenario.ts'
import { call } from './testing/shared-system.ts'

const LINES = 300_000
/** One in this many lines goes to stderr, too. */
const WRONG_EVERY = 1_000

/** The command that prints each line with a write of its own, so that the followers get portions of any size. */
const PRINT = `awk 'BEGIN {
  for (line = 1; line <= ${LINES}; line++) {
    print line; fflush()
    if (line % ${WRONG_EVERY} == 0) { print line > "/dev/stderr"; fflush("/dev/stderr") }
  }
}'`

const own = ownSandbox218()

describe('very many short lines', () => {
  const session = randomUUID()
  const followed = { stdout: '', stderr: '', http: '' }
  const expected = { stdout: lines(1), stderr: lines(WRONG_EVERY) }

  beforeAll(async () => {
    const { process } = own.sandbox
    await process.createSession(session)
    const command = await startCommand(own.sandbox, session, PRINT)
    const path = `/toolbox-proxy/${own.sandbox.id}/process/session/${session}/command/${command}/logs?follow=true`
    const overHttp = call(path).then((answer) => answer.text())
    const stdout: string[] = []
    const stderr: string[] = []
    await process.getSessionCommandLogs(
      session,
      command,
      (chunk) => void stdout.push(chunk),
      (chunk) => void stderr.push(chunk),
    )
    Object.assign(followed, { stdout: stdout.join(''), stderr: stderr.join(''), http: await overHttp })
  })

  it('are followed by SDK 0.218 over a WebSocket, whole and in order', () => {
    expect(followed.stdout === expected.stdout).toBe(true)
    expect(followed.stderr === expected.stderr).toBe(true)
  })

  it('are followed over HTTP, whole and in order, with both streams in one', () => {
    // Either stream may be ahead of the other.
    let [out, wrong] = [1, WRONG_EVERY]
    for (const line of followed.http.split('\n').slice(0, -1)) {
      if (line === String(out)) out += 1
      else if (line === String(wrong)) wrong += WRONG_EVERY
      else throw new Error(`${JSON.stringify(line)} where ${out} or ${wrong} is due`)
    }
    expect({ out, wrong }).toEqual({ out: LINES + 1, wrong: LINES + WRONG_EVERY })
  })

  it('are in the log afterwards', async () => {
    const command = (await own.sandbox.process.getSession(session)).commands?.[0]?.id ?? ''
    const log = await own.sandbox.process.getSessionCommandLogs(session, command)
    expect(log.stdout === expected.stdout).toBe(true)
    expect(log.stderr === expected.stderr).toBe(true)
  })
})

function lines(step: number): string {
  return Array.from({ length: LINES / step }, (_, index) => `${(index + 1) * step}\n`).join('')
}
