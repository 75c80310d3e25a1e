import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export interface HarborCall {
  method: string
  path: string
  authorization: string
  body: unknown
}

/** The part of Harbor's API that makes and removes robot accounts. The caller disposes it. */
export interface ScriptedHarbor extends AsyncDisposable {
  /** `http://127.0.0.1:…`. */
  readonly url: string
  readonly calls: HarborCall[]
  /** Names of robot accounts, by id. */
  readonly robots: Map<number, string>
  /** The status of every answer while it is set. */
  status: number | undefined
}

export async function startScriptedHarbor(): Promise<ScriptedHarbor> {
  const harbor = {
    calls: [] as HarborCall[],
    robots: new Map<number, string>(),
    status: undefined as number | undefined,
  }
  let lastId = 0

  async function answer(request: IncomingMessage): Promise<[number, unknown]> {
    const { method = '', url = '', headers } = request
    const body = await text(request)
    const parsed: unknown = body === '' ? undefined : JSON.parse(body)
    harbor.calls.push({ method, path: url, authorization: headers.authorization ?? '', body: parsed })
    if (harbor.status !== undefined) return [harbor.status, { errors: [] }]
    if (method === 'GET' && url.startsWith('/api/v2.0/projects/')) return [200, { project_id: 7 }]
    if (method === 'GET' && url.startsWith('/api/v2.0/robots?')) {
      return [200, [...harbor.robots].map(([id, name]) => ({ id, name }))]
    }
    if (method === 'POST' && url === '/api/v2.0/robots') {
      const name = `robot$images+${(parsed as { name: string }).name}`
      harbor.robots.set(++lastId, name)
      return [201, { id: lastId, name, secret: `secret-${lastId}` }]
    }
    const removed = /^\/api\/v2\.0\/robots\/(\d+)$/.exec(url)?.[1]
    if (method === 'DELETE' && harbor.robots.delete(Number(removed))) return [200, undefined]
    return [404, { errors: [{ code: 'NOT_FOUND' }] }]
  }

  const server = createServer((request, response) => {
    void answer(request).then(([status, body]) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return Object.assign(harbor, {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  })
}
