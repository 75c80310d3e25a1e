import { Agent, request } from 'node:http'
import type { RunningAtoll } from '@atoll/dev-env'

export interface CallOptions {
  body?: object
  headers?: Record<string, string>
}

/** Bare calls over one kept connection, as an SDK's HTTP client makes them. */
export interface SystemClient {
  /** Returns the new sandbox's id; `env` is what its commands get. */
  createSandbox(env?: Record<string, string>): Promise<string>
  /** The same with a disk of so many GiB. */
  createSandboxWithDisk(diskGib: number): Promise<string>
  deleteSandbox(id: string): Promise<void>
  /** Returns what the command printed. */
  execute(sandboxId: string, command: string): Promise<string>
  /** The JSON that the toolbox answers below its root. */
  get(sandboxId: string, path: string): Promise<unknown>
  /** The parsed answer of any other call that succeeds. */
  call(method: string, path: string, options?: CallOptions): Promise<unknown>
  close(): void
}

export function createSystemClient(atoll: RunningAtoll): SystemClient {
  const agent = new Agent({ keepAlive: true })
  const call = (method: string, path: string, options: CallOptions = {}) =>
    callJson(agent, atoll, { method, path, ...options })
  return {
    createSandbox: async (env = {}) => readText(await call('POST', '/api/sandbox', { body: { env } }), 'id'),
    // The older generation may choose: a sandbox has what its snapshot has.
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

/** A field of an answer. Throws when it is no text. */
export function readText(answer: unknown, field: string): string {
  const value = typeof answer === 'object' && answer !== null ? Reflect.get(answer, field) : undefined
  if (typeof value !== 'string') throw new Error(`no ${field} in the answer`)
  return value
}
