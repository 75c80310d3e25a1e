import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { Namespace, NetworkProcess, TestNetwork } from './testing/test-network.ts'
import { METADATA, OUTSIDE, probe, probeAnswering, startTestNetwork } from './testing/test-network.ts'

const OTHER_OUTSIDE = '203.0.113.7'

let net: TestNetwork
let network: NetworkProcess
let one: Namespace
let other: Namespace
/** Two servers in the world outside. */
let near: string
let far: string

beforeAll(async () => {
  net = await startTestNetwork()
  network = await net.network('first')
  ;[one, other] = [await net.sandbox(), await net.sandbox()]
  await network.call({ name: 'attach', sandboxId: 'one', pid: one.pid })
  await network.call({ name: 'attach', sandboxId: 'other', pid: other.pid })
  await net.outside.run('ip', 'address', 'add', `${OTHER_OUTSIDE}/32`, 'dev', 'lo')
  near = await net.outside.serve(OUTSIDE)
  far = await net.outside.serve(OTHER_OUTSIDE)
})
afterAll(() => net[Symbol.asyncDispose]())

const restrict = (rules: { blockAll: boolean; allowList?: string[] }, sandboxId = 'one') =>
  network.call({ name: 'restrict', sandboxId, rules })

/** Expects that a sandbox reaches, over TCP and UDP, the servers of `reached` and neither of the others. */
async function expectReached(sandbox: Namespace, reached: string[]): Promise<void> {
  const others = [near, far].filter((server) => !reached.includes(server))
  const [answers, silence] = await Promise.all([
    reached.length > 0 ? probeAnswering(sandbox, ...reached) : {},
    others.length > 0 ? probe(sandbox, ...others) : {},
  ])
  for (const [target, answer] of Object.entries(answers)) expect(answer, target).toContain('.')
  for (const [target, answer] of Object.entries(silence)) expect(answer, target).not.toContain('.')
}

describe('the rules of a sandbox', () => {
  it('let it reach what the list has and nothing else, and change at once', async () => {
    await expectReached(one, [near, far])
    await restrict({ blockAll: false, allowList: ['203.0.113.0/24'] })
    await expectReached(one, [far])
    await expectReached(other, [near, far])
    await restrict({
      blockAll: false,
      allowList: [`${OUTSIDE}/32`, '198.51.100.0/24', '198.51.100.0/25', '10.0.0.0/8'],
    })
    await expectReached(one, [near])
    await restrict({ blockAll: false, allowList: [] })
    await expectReached(one, [])
    await restrict({ blockAll: false })
    await expectReached(one, [near, far])
    await restrict({ blockAll: false, allowList: ['0.0.0.0/0'] })
    await expectReached(one, [near, far])
  })

  it('cut connections that are open', async () => {
    const [host = '', port = ''] = near.split(':')
    const folder = await mkdtemp(join(tmpdir(), 'atoll-rules-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const answered = join(folder, 'answered')
    // Asks until forty questions in a row had no answer, for at most thirty seconds.
    const script = `
      const socket = require('dgram').createSocket('udp4')
      let asked = 0
      let unanswered = 0
      socket.on('message', () => { unanswered = 0; require('fs').writeFileSync('${answered}', '') })
      setInterval(() => {
        if (unanswered === 40 || asked === 600) { console.log(unanswered); process.exit() }
        asked += 1
        unanswered += 1
        socket.send('?', ${port}, '${host}')
      }, 50)`
    await restrict({ blockAll: false })
    const talking = one.run(process.execPath, '-e', script)
    await expect.poll(() => existsSync(answered)).toBe(true)
    await restrict({ blockAll: true })
    expect(Number(await talking)).toBe(40)
    await restrict({ blockAll: false })
  })

  it("leave the host's nameserver reachable beside a list, and nothing when all is blocked", async () => {
    const nameserver = `${OUTSIDE}:53`
    const target = `tcp ${nameserver}`
    await restrict({ blockAll: false, allowList: ['203.0.113.0/24'] })
    // No server listens on that port: the refusal shows that the packet arrived.
    expect((await probeAnswering(one, nameserver))[target]).toBe('ECONNREFUSED')
    await restrict({ blockAll: true, allowList: ['203.0.113.0/24'] })
    await expectReached(one, [])
    expect((await probe(one, nameserver))[target]).toBe('nothing')
    await restrict({ blockAll: false })
  })

  it('open nothing that is closed to every sandbox', async () => {
    const metadata = await net.outside.serve(METADATA)
    await restrict({ blockAll: false, allowList: ['169.254.0.0/16', '0.0.0.0/1', '128.0.0.0/1'] })
    expect(Object.values(await probe(one, metadata))).toEqual(['nothing', 'nothing'])
    await restrict({ blockAll: false })
  })

  it('are refused when a block is none', async () => {
    for (const block of ['1.2.3', '1.2.3.4/33', '256.1.1.1', '', '::1', '1.2.3.4; flush ruleset']) {
      await expect(restrict({ blockAll: false, allowList: [block] })).rejects.toThrow('not a block')
    }
  })

  it('are not those of who had the address before', async () => {
    await restrict({ blockAll: true }, 'other')
    await network.call({ name: 'release', sandboxId: 'other' })
    await network.call({ name: 'attach', sandboxId: 'other', pid: other.pid })
    await expectReached(other, [near, far])
  })

  it('hold from the first packet, and over a killed runner', async () => {
    const late = await net.sandbox()
    const rules = { blockAll: false, allowList: ['203.0.113.7'] }
    await network.call({ name: 'attach', sandboxId: 'late', pid: late.pid, rules })
    await expectReached(late, [far])
    await network.kill()
    await expectReached(late, [far])
    network = await net.network('first', { late: rules })
    expect(network.limitation).toBeUndefined()
    await expectReached(late, [far])
    await restrict({ blockAll: false }, 'late')
    expect(Object.values(await probeAnswering(late, near))).not.toContain('nothing')
  })
})
