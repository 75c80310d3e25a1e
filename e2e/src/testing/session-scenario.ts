import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { eventually } from './eventually.ts'
import type { AnySandbox } from './in-sandbox.ts'
import { shell } from './in-sandbox.ts'
import type { OwnSandbox } from './own-sandbox.ts'

interface Command {
  id: string
  command: string
  exitCode?: number
}
interface Session {
  sessionId: string
  commands: Command[] | null
}

/** A sandbox of any SDK generation, with sessions. */
export interface SessionSandbox extends AnySandbox {
  readonly process: AnySandbox['process'] & {
    createSession(id: string): Promise<void>
    getSession(id: string): Promise<Session>
    listSessions(): Promise<Session[]>
    deleteSession(id: string): Promise<void>
    executeSessionCommand(
      id: string,
      request: { command: string; runAsync?: boolean },
    ): Promise<{ cmdId?: string; output?: string; exitCode?: number }>
    getSessionCommand(id: string, command: string): Promise<Command>
  }
}

/** A sandbox of an SDK before 0.27, whose logs are text, or one stream of chunks. */
export interface TextLogsSandbox extends SessionSandbox {
  readonly process: SessionSandbox['process'] & {
    getSessionCommandLogs(id: string, command: string): Promise<string>
    getSessionCommandLogs(id: string, command: string, onLogs: (chunk: string) => void): Promise<void>
  }
}

/** Returns a command that prints, waits for the file `go` in `folder`, prints more on both streams, and ends with 4. */
export function waitingCommand(folder: string): string {
  return `mkdir -p ${folder}; echo first; until test -e ${folder}/go; do sleep 0.1; done; echo last; echo wrong >&2; (exit 4)`
}

/** Starts a command in the background of a session; returns its id. */
export async function startCommand(sandbox: SessionSandbox, session: string, command: string): Promise<string> {
  const { cmdId } = await sandbox.process.executeSessionCommand(session, { command, runAsync: true })
  if (cmdId === undefined) throw new Error('no command id')
  return cmdId
}

/** Tests shells that keep their state. */
export function describeSessions(title: string, own: OwnSandbox<SessionSandbox>): void {
  describe(`sessions through ${title}`, () => {
    it('keep their folder, variables and functions', async () => {
      const { process } = own.sandbox
      const id = randomUUID()
      await process.createSession(id)
      const run = async (command: string) => (await process.executeSessionCommand(id, { command })).output
      expect(await run('cd /tmp && export GIVEN="two words" && twice() { echo "$1$1"; }')).toBe('')
      expect(await run('pwd; echo "$GIVEN"; twice ab')).toBe('/tmp\ntwo words\nabab\n')
      expect(await run('cat <<END\nüber\nEND')).toBe('über\n')
      expect(await run('cat')).toBe('')
      expect(await process.executeSessionCommand(id, { command: '(exit 3)' })).toMatchObject({ exitCode: 3 })
    })

    it('run a command in the background, whose status comes with its end', async () => {
      const { process } = own.sandbox
      const id = randomUUID()
      await process.createSession(id)
      const command = await startCommand(own.sandbox, id, waitingCommand(`/tmp/${id}`))
      expect((await process.getSessionCommand(id, command)).exitCode).toBeUndefined()
      await shell(own.sandbox, `mkdir -p /tmp/${id} && touch /tmp/${id}/go`)
      await eventually('it has ended', async () => (await process.getSessionCommand(id, command)).exitCode === 4)
    })

    it('are listed and described, until they are deleted with all they run', async () => {
      const { process } = own.sandbox
      const id = randomUUID()
      await process.createSession(id)
      await expect(process.createSession(id)).rejects.toThrow()
      const command = await startCommand(own.sandbox, id, `exec -a mark-${id} sleep 600`)
      const session = { sessionId: id, commands: [{ id: command, command: `exec -a mark-${id} sleep 600` }] }
      expect(await process.getSession(id)).toMatchObject(session)
      expect((await process.listSessions()).find(({ sessionId }) => sessionId === id)).toMatchObject(session)
      await process.deleteSession(id)
      await expect(process.getSession(id)).rejects.toThrow()
      expect((await process.listSessions()).map(({ sessionId }) => sessionId)).not.toContain(id)
      const sleeping = async () => (await process.executeCommand(`cat /proc/[0-9]*/cmdline | tr '\\0' ' '`)).result
      await eventually('its command is gone', async () => !(await sleeping()).includes(`mark-${id} 600`))
    })
  })
}

/** Tests logs as SDKs before 0.27 read them. */
export function describeTextLogs(title: string, own: OwnSandbox<TextLogsSandbox>): void {
  describe(`logs of sessions through ${title}`, () => {
    it('are followed as they come, to their end', { timeout: 120_000 }, async () => {
      const { process } = own.sandbox
      const id = randomUUID()
      await process.createSession(id)
      const command = await startCommand(own.sandbox, id, waitingCommand(`/tmp/${id}`))
      let logs = ''
      let released: Promise<unknown> | undefined
      await process.getSessionCommandLogs(id, command, (chunk) => {
        logs += chunk
        if (logs.includes('first\n')) released ??= shell(own.sandbox, `touch /tmp/${id}/go`)
      })
      await released
      expect(logs).toMatch(/^first\n(last\nwrong\n|wrong\nlast\n)$/)
      expect(await process.getSessionCommandLogs(id, command)).toBe(logs)
    })

    it('come whole when they are long', { timeout: 120_000 }, async () => {
      const { process } = own.sandbox
      const id = randomUUID()
      await process.createSession(id)
      const { cmdId = '' } = await process.executeSessionCommand(id, { command: 'seq 20000' })
      const expected = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join('')
      expect(await process.getSessionCommandLogs(id, cmdId)).toBe(expected)
      const chunks: string[] = []
      await process.getSessionCommandLogs(id, cmdId, (chunk) => void chunks.push(chunk))
      expect(chunks.join('')).toBe(expected)
    })
  })
}
