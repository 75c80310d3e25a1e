import { Agent, request } from 'node:http'
import type { RunningAtoll } from '@atoll/dev-env'

/** Bare calls over one kept connection, as an SDK's HTTP client makes them. */
export interface SystemClient {
  createSandbox(): Promise<string>
  deleteSandbox(id: string): Promise<void>
  /** Returns what the command printed. */
  execute(sandboxId: string, command: string): Promise<string>
  close(): void
}

export function createSystemClient(atoll: RunningAtoll): SystemClient {
  const agent = new Agent({ keepAlive: true })
  const call = (method: string, path: string, body?: object) => callJson(agent, atoll, { method, path, body })
  return {
    createSandbox: async () => readText(await call('POST', '/api/sandbox', {}), 'id'),
    deleteSandbox: async (id) => void (await call('DELETE', `/api/sandbox/${id}?force=true`)),
    execute: async (id, command) =>
      readText(await call('POST', `/api/toolbox/${id}/toolbox/process/execute`, { command }), 'result'),
    close: () => agent.destroy(),
  }
}

function callJson(
  agent: Agent,
  atoll: RunningAtoll,
  { method, path, body }: { method: string; path: string; body: object | undefined },
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${atoll.url}${path}`, {
      agent,
      method,
      headers: { authorization: `Bearer ${atoll.apiKey}`, 'content-type': 'application/json' },
    })
    outgoing.once('error', reject)
    outgoing.once('response', (incoming) => {
      let text = ''
      incoming.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      incoming.once('error', reject)
      incoming.once('end', () => {
        if (incoming.statusCode !== 200) reject(new Error(`${method} ${path}: ${incoming.statusCode} ${text}`))
        else resolve(text === '' ? undefined : JSON.parse(text))
      })
    })
    outgoing.end(body && JSON.stringify(body))
  })
}

function readText(answer: unknown, field: string): string {
  const value = typeof answer === 'object' && answer !== null ? Reflect.get(answer, field) : undefined
  if (typeof value !== 'string') throw new Error(`no ${field} in the answer`)
  return value
}
