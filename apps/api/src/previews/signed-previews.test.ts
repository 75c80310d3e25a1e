import { request } from 'node:http'
import type { Sandbox } from '@atoll/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLogLines } from '../testing/log-lines.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'

const logged = createLogLines()
let world: SandboxWorld
let sandbox: Sandbox
let stranger: TestPrincipal

beforeAll(async () => {
  world = await createSandboxWorld({ log: logged.log })
  sandbox = await world.create({ name: 'signed' })
  stranger = await world.createPrincipal()
})
afterAll(() => world[Symbol.asyncDispose]())

interface Link {
  sandboxId: string
  port: number
  token: string
  url: string
}

async function sign(query = '', as?: TestPrincipal) {
  const path = `/sandbox/${sandbox.id}/ports/3000/signed-preview-url${query}`
  const { status, body } = await world.call('GET', path, as === undefined ? {} : { as })
  return { status, link: body as Link }
}

function visit(name: string, port = 3000): Promise<number | undefined> {
  const api = new URL(world.url)
  return new Promise((resolve, reject) => {
    const call = request({
      host: api.hostname,
      port: api.port,
      headers: { host: `${port}-${name}.localhost:${api.port}` },
    })
    call.once('response', (response) => resolve(response.resume().statusCode))
    call.once('error', reject)
    call.end()
  })
}

describe('a signed preview', () => {
  it('opens one port to whoever has the link, until it is ended', async () => {
    const { link } = await sign('?expiresInSeconds=600')
    expect(link).toEqual({
      ...{ sandboxId: sandbox.id, port: 3000, token: expect.stringMatching(/^[a-z0-9]{16}$/) },
      url: `http://3000-${link.token}.localhost:${new URL(world.url).port}`,
    })
    expect(await visit(link.token)).toBe(200)
    expect(await visit(link.token, 3001)).toBe(404)
    const named = await world.call('GET', `/preview/${link.token}/3000/sandbox-id`)
    expect([named.status, named.body]).toEqual([200, sandbox.id])
    expect((await world.call('GET', `/preview/${link.token}/3001/sandbox-id`)).status).toBe(404)

    const expire = `/sandbox/signed/ports/3000/signed-preview-url/${link.token}/expire`
    expect((await world.call('POST', expire, { as: stranger })).status).toBe(404)
    expect((await world.call('POST', expire)).status).toBe(200)
    expect(await visit(link.token)).toBe(404)
    expect((await world.call('POST', expire)).status).toBe(404)
  })

  it('ends by itself', async () => {
    const { link } = await sign('?expiresInSeconds=60')
    await world.api.database.sql`update signed_previews set expires_at = now() - interval '1 second'`
    expect(await visit(link.token)).toBe(404)
    await sign()
    const [row] = await world.api.database.sql`select count(*)::int as held from signed_previews`
    expect(row?.['held']).toBe(1)
  })

  it.each(['0', '-1', '86401', 'soon'])('cannot be open for %s seconds', async (seconds) => {
    expect((await sign(`?expiresInSeconds=${seconds}`)).status).toBe(400)
  })

  it('is one of a thousand of its sandbox at most, however many are made at once', async () => {
    const { sql } = world.api.database
    await sql`
      insert into signed_previews (token_hash, sandbox_id, port, expires_at, created_at)
      select lpad(to_hex(number), 64, '0'), ${sandbox.id}, 3000, now() + interval '1 hour', now()
      from generate_series(1, 1000 - (select count(*)::int from signed_previews where sandbox_id = ${sandbox.id}) - 3) number`
    const made = await Promise.all(Array.from({ length: 20 }, () => sign()))
    expect(made.filter(({ status }) => status === 200)).toHaveLength(3)
    expect(made.filter(({ status }) => status === 429)).toHaveLength(17)
    await sql`delete from signed_previews`
  })

  it('is made by members of its organization only', async () => {
    expect((await sign('', stranger)).status).toBe(404)
  })
})

describe('what a preview proxy asks', () => {
  it('is answered alike for a private and an unknown sandbox', async () => {
    const open = await world.create({ public: true })
    expect((await world.call('GET', `/preview/${open.id}/public`)).body).toBe(true)
    const hidden = await world.call('GET', `/preview/${sandbox.id}/public`)
    const unknownId = '00000000-0000-4000-8000-000000000000'
    const unknown = await world.call('GET', `/preview/${unknownId}/public`)
    expect([hidden.status, unknown.status]).toEqual([404, 404])
    const message = ({ body }: { body: unknown }) => (body as { message: string }).message
    expect(message(hidden).replace(sandbox.id, unknownId)).toBe(message(unknown))
  })

  it('tells a right token from a wrong one', async () => {
    const { body } = await world.call('GET', `/sandbox/${sandbox.id}/ports/1/preview-url`)
    const { token } = body as { token: string }
    expect((await world.call('GET', `/preview/${sandbox.id}/validate/${token}`)).body).toBe(true)
    expect((await world.call('GET', `/preview/${sandbox.id}/validate/${token}x`)).status).toBe(404)
  })

  it('leaves no token in the log that opens something', async () => {
    const { body } = await world.call('GET', `/sandbox/${sandbox.id}/ports/1/preview-url`)
    const { token } = body as { token: string }
    const { link } = await sign('?expiresInSeconds=600')
    expect((await world.call('GET', `/preview/${sandbox.id}/validate/${token}`)).status).toBe(200)
    expect((await world.call('GET', `/preview/${link.token}/3000/sandbox-id`)).status).toBe(200)
    const expire = `/sandbox/signed/ports/3000/signed-preview-url/${link.token}/expire`
    expect((await world.call('POST', expire)).status).toBe(200)
    await until('the calls are logged', async () => logged.text().includes('/signed-preview-url/:token/expire'))
    expect(logged.text()).not.toContain(link.token)
    expect(logged.text()).not.toContain(token)
  })

  it('tells members from strangers', async () => {
    expect((await world.call('GET', `/preview/${sandbox.id}/access`)).body).toBe(true)
    expect((await world.call('GET', `/preview/${sandbox.id}/access`, { as: stranger })).status).toBe(404)
    expect((await fetch(`${world.url}/api/preview/${sandbox.id}/access`)).status).toBe(401)
  })
})
