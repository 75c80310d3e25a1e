import { Agent, request } from 'node:http'
import type { RunningAtoll } from '@atoll/dev-env'

export interface CallOptions {
  body?: object
  headers?: Record<string, string>
}

/** A client that makes plain calls over one kept connection, as an SDK's HTTP client does. */
export interface SystemClient {
  /** Creates a sandbox and returns its id; `env` is the environment of its commands. */
  createSandbox(env?: Record<string, string>): Promise<string>
  /** Creates a sandbox with a disk of this size and returns its id. */
  createSandboxWithDisk(diskGib: number): Promise<string>
  deleteSandbox(id: string): Promise<void>
  /** Runs a command and returns its output. */
  execute(sandboxId: string, command: string): Promise<string>
  /** Returns the parsed JSON answer of the toolbox for a path below its root. */
  get(sandboxId: string, path: string): Promise<unknown>
  /** Makes any other call and returns its parsed answer. Throws if the call fails. */
  call(method: string, path: string, options?: CallOptions): Promise<unknown>
  close(): void
}

export function createSystemClient(atoll: RunningAtoll): SystemClient {
  const agent = new Agent({ keepAlive: true })
  const call = (method: string, path: string, options: CallOptions = {}) =>
    callJson(agent, atoll, { method, path, ...options })
  return {
    createSandbox: async (env = {}) => readText(await call('POST', '/api/sandbox', { body: { env } }), 'id'),
    // Only the older workspace route lets a client choose the disk; another sandbox has the disk of its snapshot.
    createSandboxWithDisk: async (disk) => readText(await call('POST', '/api/workspace', { body: { disk } }), 'id'),
    deleteSandbox: async (id) => void (await call('DELETE', `/api/sandbox/${id}?force=true`)),
    execute: async (id, command) =>
      readText(await call('POST', `/api/toolbox/${id}/toolbox/process/execute`, { body: { command } }), 'result'),
    get: (id, path) => call('GET', `/api/toolbox/${id}/toolbox/${path}`),
    call,
    close: () => agent.destroy(),
  }
}

function callJson(
  agent: Agent,
  atoll: RunningAtoll,
  { method, path, body, headers }: CallOptions & { method: string; path: string },
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${atoll.url}${path}`, {
      agent,
      method,
      headers: { authorization: `Bearer ${atoll.apiKey}`, 'content-type': 'application/json', ...headers },
    })
    outgoing.once('error', reject)
    outgoing.once('response', (incoming) => {
      let text = ''
      incoming.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      incoming.once('error', reject)
      incoming.once('end', () => {
        if (Math.trunc((incoming.statusCode ?? 0) / 100) !== 2)
          reject(new Error(`${method} ${path}: ${incoming.statusCode} ${text}`))
        else resolve(text === '' ? undefined : JSON.parse(text))
      })
    })
    outgoing.end(body && JSON.stringify(body))
  })
}

/** Returns a text field of an answer. Throws if it is no text. */
export function readText(answer: unknown, field: string): string {
  const value = typeof answer === 'object' && answer !== null ? Reflect.get(answer, field) : undefined
  if (typeof value !== 'string') throw new Error(`no ${field} in the answer`)
  return value
}
