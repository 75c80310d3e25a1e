import type { BufferedResponse, Headers } from '@atoll/tunnel'
import type { TestToolbox } from './test-toolbox.ts'
import { bodyOf } from './test-toolbox.ts'

/** The headers of SDKs from 0.167 on. */
export const NEW_SDK: Headers = { 'x-daytona-sdk-version': '0.218.0' }
/** The headers of SDKs between the two changes of the log format. */
export const MARKED_SDK: Headers = { 'x-daytona-sdk-version': '0.100.0' }

/** Returns a line of shell that waits until a file exists. */
export function untilFile(name: string): string {
  return `until [ -e ${name} ]; do sleep 0.01; done`
}

/** Calls the operations of one session. */
export interface SessionClient {
  readonly path: string
  /** Runs a command to its end, as a new SDK. */
  run(command: string): Promise<{ exitCode: number; stdout: string; stderr: string }>
  /** Starts a command and returns its id. */
  start(command: string, more?: Record<string, unknown>): Promise<string>
  exec(body: Record<string, unknown>, headers?: Headers): Promise<BufferedResponse>
  command(id: string): Promise<Record<string, unknown>>
  /** Returns the id of the running command, or of the first one that will run. */
  running(): Promise<string>
  /** Resolves with the exit code; the test's own deadline bounds it. */
  ended(id: string): Promise<number>
  input(id: string, data: string): Promise<BufferedResponse>
  /** Reads the log until it contains `words`. */
  logged(id: string, words: string): Promise<string>
  remove(): Promise<BufferedResponse>
}

export async function createSession(toolbox: TestToolbox, id = 'one'): Promise<SessionClient> {
  const created = await toolbox.call('POST', '/process/session', { json: { sessionId: id } })
  if (created.status !== 200) throw new Error(created.body.toString())
  const path = `/process/session/${id}`
  const exec = (body: Record<string, unknown>, headers: Headers = {}) =>
    toolbox.call('POST', `${path}/exec`, { json: body, headers })
  const command = async (commandId: string) => bodyOf(await toolbox.call('GET', `${path}/command/${commandId}`))
  return {
    path,
    exec,
    command,
    async run(text) {
      const response = await exec({ command: text }, NEW_SDK)
      if (response.status !== 200) throw new Error(`${response.status} ${response.body}`)
      const { exitCode, stdout, stderr } = bodyOf(response)
      return { exitCode: Number(exitCode), stdout: String(stdout), stderr: String(stderr) }
    },
    async start(text, more = {}) {
      const response = await exec({ command: text, runAsync: true, ...more })
      if (response.status !== 202) throw new Error(`${response.status} ${response.body}`)
      return String(bodyOf(response)['cmdId'])
    },
    async ended(commandId) {
      for (;;) {
        const { exitCode } = await command(commandId)
        if (typeof exitCode === 'number') return exitCode
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
    async running() {
      for (;;) {
        const { commands } = bodyOf(await toolbox.call('GET', path))
        const found = Array.isArray(commands) ? commands.find((one) => one.exitCode === undefined) : undefined
        if (found !== undefined) return found.id
      }
    },
    input: (commandId, data) => toolbox.call('POST', `${path}/command/${commandId}/input`, { json: { data } }),
    async logged(commandId, words) {
      for (;;) {
        const { body } = await toolbox.call('GET', `${path}/command/${commandId}/logs`)
        if (body.includes(words)) return body.toString()
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
    remove: () => toolbox.call('DELETE', path),
  }
}
