import type { Runner, Snapshot } from '@atoll/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { ScriptedRunner } from '../testing/scripted-runner.ts'
import { messageOf, snapshotCalls } from '../testing/snapshot-calls.ts'
import type { TestPrincipal } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'

let world: SandboxWorld
let admin: TestPrincipal
let second: ScriptedRunner
let secondId: string

const { newName, create, get, untilState, active } = snapshotCalls(() => world)

beforeEach(async () => {
  world = await createSandboxWorld()
  admin = await world.createPrincipal({ systemRole: 'admin' })
  // The second runner is the emptier one, which makes the next.
  await active()
  const made = (await world.call('POST', '/runners', { as: admin, body: { name: 'second', regionId: 'us' } })).body
  const { id, apiKey } = made as Runner
  secondId = id
  second = new ScriptedRunner({ url: world.url, token: apiKey })
  second.holdings.finishes = false
  await second.connect()
  const isReady = async () =>
    ((await world.call('GET', `/runners/${id}`, { as: admin })).body as Runner).state === 'ready'
  await until('the second runner is ready', isReady)
})
afterEach(async () => {
  await second[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const remove = (query = '') => world.call('DELETE', `/runners/${secondId}${query}`, { as: admin })

/** Resolves when the second runner makes the snapshot. */
function untilMade({ ref = '' }: Snapshot): Promise<void> {
  return until('the runner was asked', () => second.holdings.snapshots.has(ref))
}

/** Removes the second runner, whose link ends when it says something. */
async function removeByForce(): Promise<void> {
  expect((await remove('?force=true')).status).toBe(204)
  second.emit({ type: 'alive' })
  await until('its link is over', () => !second.isConnected)
}

describe('a runner that makes a snapshot', () => {
  it('M7: is removed by force only, and another makes it', async () => {
    const snapshot = await create()
    await untilMade(snapshot)
    second.holdings.advance(snapshot.ref ?? '', 'pulling')
    await untilState(snapshot.id, 'pulling')
    const refused = await remove()
    expect([refused.status, messageOf(refused)]).toEqual([409, expect.stringContaining('Snapshots are being made')])
    await removeByForce()
    await untilState(snapshot.id, 'active')
    expect(world.runner.holdings.isActive(snapshot.ref ?? '')).toBe(true)
  })

  it('M7: had the only copy of an upload, and of a sandbox', async () => {
    const name = newName()
    const response = await fetch(`${world.url}/api/snapshots/upload?name=${encodeURIComponent(name)}`, {
      ...{ method: 'POST', headers: world.principal.headers, body: 'tar' },
    })
    const uploaded = (await response.json()) as Snapshot
    await untilState(name, 'pulling')
    const ofSandbox = await create()
    await untilMade(ofSandbox)
    await world.api.database.sql`
      update snapshots set kind = 'sandbox', state = 'snapshotting', source_sandbox_id = ${ofSandbox.id}, image_name = null
      where id = ${ofSandbox.id}`
    await removeByForce()
    for (const { id } of [uploaded, ofSandbox]) {
      await untilState(id, 'error')
      expect((await get(id)).errorReason).toBe('Its runner was removed')
    }
  })
})
