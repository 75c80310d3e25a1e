import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { Sandbox } from '@atoll/protocol'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { SandboxWorld } from '../../testing/sandbox-world.ts'
import { createSandboxWorld } from '../../testing/sandbox-world.ts'
import type { ToolboxScript } from '../../testing/scripted-toolbox.ts'
import { until } from '../../testing/until.ts'

/** Longer ago than any interval. */
const LONG_AGO = '2020-01-01T00:00:00Z'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

const ignore = { onData: () => undefined, onEnd: () => undefined, onReset: () => undefined }

/** Sends no response, or only the beginning of one. An upgraded stream ends when its client ends it. */
function holding(status?: number): ToolboxScript {
  return (exchange) => {
    exchange.handlers = status === 101 ? { ...ignore, onEnd: () => exchange.end() } : ignore
    if (status === undefined) return
    exchange.respond({ status, headers: status === 101 ? { upgrade: 'echo' } : {} })
    if (status !== 101) exchange.write(Buffer.from('begun'))
  }
}

/** Begins a request by hand, and leaves it open. */
function send(lines: string[]): Socket {
  const socket = connect(Number(new URL(world.url).port), '127.0.0.1')
  socket.on('error', () => undefined)
  socket.resume().write([...lines, '', ''].join('\r\n'))
  return socket
}

async function tokenOf({ id }: Sandbox): Promise<string> {
  const { body } = await world.call('GET', `/sandbox/${id}/ports/3000/preview-url`)
  return (body as { token: string }).token
}

async function lastUse(id: string): Promise<number> {
  const [row] = await world.api.database.sql`select last_activity_at from sandboxes where id = ${id}`
  return Date.parse(String(row?.['last_activity_at']))
}

/** Makes a sandbox unused for years and sets its interval to `minutes`, upon which the timers look. */
async function makeOverdue({ id }: Sandbox, minutes: number): Promise<void> {
  await world.api.database.sql`update sandboxes set last_activity_at = ${LONG_AGO} where id = ${id}`
  expect((await world.call('POST', `/sandbox/${id}/autostop/${minutes}`)).status).toBe(200)
}

const auth = () => `authorization: ${world.principal.headers.authorization}`
const upgrade = ['connection: Upgrade', 'upgrade: echo']

const uses: [string, ToolboxScript, (sandbox: Sandbox) => Promise<Socket> | Socket][] = [
  [
    'a command that takes long',
    holding(),
    ({ id }) =>
      send([`POST /api/toolbox/${id}/toolbox/process/execute HTTP/1.1`, 'host: x', auth(), 'content-length: 0']),
  ],
  [
    'a download that takes long',
    holding(200),
    ({ id }) => send([`GET /api/toolbox-proxy/${id}/files/download?path=a HTTP/1.1`, 'host: x', auth()]),
  ],
  [
    'an open terminal in which nobody types',
    holding(101),
    ({ id }) => send([`GET /api/toolbox-proxy/${id}/process/pty/p/connect HTTP/1.1`, 'host: x', auth(), ...upgrade]),
  ],
  [
    'a preview that streams',
    holding(200),
    async (sandbox) =>
      send([
        'GET / HTTP/1.1',
        `host: 3000-${sandbox.id}.localhost`,
        `x-daytona-preview-token: ${await tokenOf(sandbox)}`,
      ]),
  ],
  [
    'an open WebSocket of a preview',
    holding(101),
    async (sandbox) => {
      const token = `x-daytona-preview-token: ${await tokenOf(sandbox)}`
      return send(['GET / HTTP/1.1', `host: 3000-${sandbox.id}.localhost`, token, ...upgrade])
    },
  ],
]

it.each(uses)('%s is use of a sandbox for as long as it lasts', async (_what, script, begin) => {
  const sandbox = await world.create({ autoStopInterval: 0 })
  const { id } = sandbox
  let reach: () => void = () => undefined
  const reached = new Promise<void>((resolve) => {
    reach = resolve
  })
  world.runner.script = (exchange, sandboxId) => {
    script(exchange, sandboxId)
    reach()
  }
  const socket = await begin(sandbox)
  await reached
  for (let look = 0; look < 2; look += 1) {
    // The timer is off, so that a look under way does not see a use that is taken back, which never happens.
    await makeOverdue(sandbox, 0)
    await until('a look notes the use, before it looks for what is due', async () => {
      return (await lastUse(id)) > Date.parse(LONG_AGO)
    })
  }
  const endedAt = Date.now()
  socket.destroy()
  await until('the end of it is noted', async () => (await lastUse(id)) >= endedAt)
  // The API may note the end of the use once more.
  await until('it is stopped once nothing uses it', async () => {
    await makeOverdue(sandbox, 1)
    return (await world.get(id)).state === 'stopped'
  })
})

it('looking at a sandbox, or for it, is no use of it', async () => {
  const sandbox = await world.create({ autoStopInterval: 0 })
  await world.api.database.sql`update sandboxes set last_activity_at = ${LONG_AGO} where id = ${sandbox.id}`
  for (const path of ['/sandbox', `/sandbox/${sandbox.id}`, `/sandbox/${sandbox.id}/ports/3000/preview-url`])
    expect((await world.call('GET', path)).status).toBe(200)
  expect((await world.call('POST', `/sandbox/${sandbox.id}/autostop/1`)).status).toBe(200)
  await world.untilState(sandbox.id, 'stopped')
})

it.each([
  ['autoarchive/1', 'archived'],
  ['autodelete/1', 'destroyed'],
  ['autodelete/0', 'destroyed'],
])('%s acts at once on what has been stopped for longer', async (path, state) => {
  const { id } = await world.create()
  await world.call('POST', `/sandbox/${id}/stop`)
  await world.untilState(id, 'stopped')
  await world.api.database.sql`update sandboxes set stopped_at = ${LONG_AGO} where id = ${id}`
  expect((await world.call('POST', `/sandbox/${id}/${path}`)).status).toBe(200)
  await world.untilState(id, state)
})
