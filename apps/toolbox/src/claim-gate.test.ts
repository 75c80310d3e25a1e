import { METHODS } from 'node:http'
import { CLAIM_METHOD } from '@atoll/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import type { TestToolbox } from './testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from './testing/test-toolbox.ts'

const ENTRYPOINT = ['sh', '-c', 'echo "started for $WHO"']

const toolboxes: TestToolbox[] = []
afterEach(() => Promise.all(toolboxes.splice(0).map((toolbox) => toolbox[Symbol.asyncDispose]())))

async function open(options: { awaitsClaim: boolean }): Promise<TestToolbox> {
  const toolbox = await createTestToolbox({ WHO: 'nobody' }, ENTRYPOINT, options.awaitsClaim)
  toolboxes.push(toolbox)
  return toolbox
}

const claim = (toolbox: TestToolbox, json: unknown) => toolbox.call(CLAIM_METHOD, '/', { json })

async function who(toolbox: TestToolbox): Promise<unknown> {
  return bodyOf(await toolbox.call('POST', '/process/execute', { json: { command: 'echo $WHO' } }))['result']
}

async function entrypointLog(toolbox: TestToolbox): Promise<string> {
  // The answer ends when the entrypoint does.
  return (await toolbox.call('GET', '/process/session/entrypoint/logs', { query: { follow: 'true' } })).body.toString()
}

describe('a toolbox that awaits a claim (W6)', () => {
  it('refuses everything else', async () => {
    const toolbox = await open({ awaitsClaim: true })
    for (const [method, path] of [
      ['GET', '/version'],
      ['POST', '/process/execute'],
      ['POST', '/env'],
      ['GET', '/proxy/8080/'],
      ['GET', '/nowhere'],
    ] as const) {
      const answer = await toolbox.call(method, path)
      expect({ status: answer.status, code: bodyOf(answer)['code'] }).toEqual({
        status: 503,
        code: 'SERVICE_UNAVAILABLE',
      })
    }
  })

  it('has its variables and its entrypoint once it is claimed', async () => {
    const toolbox = await open({ awaitsClaim: true })
    expect((await claim(toolbox, { env: { WHO: 'ada' } })).status).toBe(204)
    expect(await entrypointLog(toolbox)).toContain('started for ada')
    expect(await who(toolbox)).toBe('ada\n')
  })

  it('is claimed once: what comes again is answered alike and does nothing (W5)', async () => {
    const toolbox = await open({ awaitsClaim: true })
    const both = await Promise.all([claim(toolbox, { env: { WHO: 'ada' } }), claim(toolbox, { env: { WHO: 'eve' } })])
    expect(both.map(({ status }) => status)).toEqual([204, 204])
    await toolbox.call('POST', '/env', { json: { set: { WHO: 'grace' } } })
    expect((await claim(toolbox, { env: { WHO: 'eve' } })).status).toBe(204)
    expect(await who(toolbox)).toBe('grace\n')
    const session = bodyOf(await toolbox.call('GET', '/process/session/entrypoint'))
    expect(session['commands']).toHaveLength(1)
  })

  it.each([{}, { env: [] }, { env: { A: 1 } }, { env: { 'A=B': '' } }, 'text'])(
    'stays unclaimed after %j',
    async (body) => {
      const toolbox = await open({ awaitsClaim: true })
      expect((await claim(toolbox, body)).status).toBe(400)
      expect((await toolbox.call('GET', '/version')).status).toBe(503)
      expect((await claim(toolbox, { env: {} })).status).toBe(204)
      expect(await who(toolbox)).toBe('nobody\n')
    },
  )
})

describe('a toolbox that awaits no claim', () => {
  it('runs its entrypoint at once, and knows of no claims', async () => {
    const toolbox = await open({ awaitsClaim: false })
    expect(await entrypointLog(toolbox)).toContain('started for nobody')
    expect((await claim(toolbox, { env: { WHO: 'eve' } })).status).toBe(404)
    expect((await toolbox.call(CLAIM_METHOD, '/version', { json: { env: { WHO: 'eve' } } })).status).toBe(405)
    expect(await who(toolbox)).toBe('nobody\n')
  })
})

it('no HTTP parser of ours lets a claim in', () => {
  expect(METHODS).not.toContain(CLAIM_METHOD)
})
