import type { ErrorBody } from '@atoll/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSandboxChanges } from '../sandboxes/sandbox-changes.ts'
import { createSandboxStore } from '../sandboxes/sandbox-store.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { ScriptedRunner } from '../testing/scripted-runner.ts'
import { until } from '../testing/until.ts'
import { OVERCOMMIT } from './placement.ts'

let world: SandboxWorld

beforeEach(async () => {
  world = await createSandboxWorld()
})
afterEach(() => world[Symbol.asyncDispose]())

async function untilGone(): Promise<void> {
  const { sql } = world.api.database
  await until(
    'the runner is known to be gone',
    async () => (await sql`select 1 from runners where last_seen_at is null`).length === 1,
  )
}

async function reconnect(): Promise<void> {
  await world.runner.connect()
  await world.untilRunnerReady()
}

function eventsOf(id: string) {
  const changes = createSandboxChanges({ subscribe: () => undefined })
  return createSandboxStore({ database: world.api.database, changes, now: Date.now }).events(id)
}

describe('a runner that is away', () => {
  it('takes no new sandboxes and no starts', async () => {
    const { id } = await world.create()
    await world.call('POST', `/sandbox/${id}/stop`)
    await world.untilState(id, 'stopped')
    await world.runner.disconnect()
    await untilGone()
    for (const path of ['/sandbox', `/sandbox/${id}/start`]) {
      const { status, body } = await world.call('POST', path, { body: {} })
      expect([status, (body as ErrorBody).message]).toEqual([400, 'No available runners'])
    }
    await reconnect()
    expect((await world.call('POST', `/sandbox/${id}/start`)).status).toBe(200)
  })

  it('finishes what was asked for meanwhile when it is back', async () => {
    const stopped = await world.create()
    const deleted = await world.create()
    await world.runner.disconnect()
    await untilGone()
    expect((await world.call('POST', `/sandbox/${stopped.id}/stop`)).status).toBe(200)
    expect((await world.call('DELETE', `/sandbox/${deleted.id}`)).status).toBe(200)
    expect((await world.get(deleted.id)).state).toBe('destroying')
    await reconnect()
    await world.untilState(stopped.id, 'stopped')
    await world.untilState(deleted.id, 'destroyed')
    expect(world.runner.sandboxes.has(deleted.id)).toBe(false)
  })

  it('loses its link in the middle of a step, which is taken again', async () => {
    const hold = world.runner.hold('start')
    const creating = world.create()
    await hold.reached
    await world.runner.disconnect()
    await untilGone()
    hold.release()
    await reconnect()
    expect((await creating).state).toBe('started')
  })
})

describe('a runner that connects', () => {
  it('has its sandboxes compared: what ended is stopped, with the reason, and can be started', async () => {
    const ended = await world.create()
    const lost = await world.create()
    const running = await world.create()
    await world.runner.disconnect()
    await untilGone()
    world.runner.get(ended.id).state = 'stopped'
    world.runner.sandboxes.delete(lost.id)
    await reconnect()
    await world.untilState(ended.id, 'stopped')
    await world.untilState(lost.id, 'stopped')
    expect((await world.get(running.id)).state).toBe('started')
    expect(await world.get(ended.id)).toMatchObject({ desiredState: 'stopped' })
    expect((await eventsOf(ended.id)).at(-1)).toMatchObject({
      ...{ event: 'exited', fromState: 'started', toState: 'stopped', actorKind: 'runner' },
      reason: 'ended while its runner was away',
    })
    expect((await eventsOf(lost.id)).at(-1)).toMatchObject({ reason: 'not found on its runner' })
    expect((await world.call('POST', `/sandbox/${ended.id}/start`)).status).toBe(200)
    // The files are gone, and no second try would change that.
    const answer = await world.call('POST', `/sandbox/${lost.id}/start`)
    expect([answer.status, (answer.body as ErrorBody).message]).toEqual([400, expect.stringContaining('files no more')])
    expect((await world.get(lost.id)).state).toBe('unknown')
  })

  it('R9: deletes what was destroyed, stops what should not run, and leaves alone what is not its own', async () => {
    const destroyed = await world.create()
    const stopped = await world.create()
    const foreign = await world.create()
    const { sql } = world.api.database
    await world.runner.disconnect()
    await untilGone()
    await sql`update sandboxes set state = 'destroyed', desired_state = 'destroyed' where id = ${destroyed.id}`
    await sql`update sandboxes set state = 'stopped', desired_state = 'stopped' where id = ${stopped.id}`
    const [other] = await sql<{ id: string }[]>`
      insert into runners (name, token_hash, region) values ('other', ${'d'.repeat(64)}, 'us') returning id`
    await sql`update sandboxes set runner_id = ${other?.id ?? ''} where id = ${foreign.id}`
    const unknownId = '7d444840-9dc0-11d1-b245-5ffdce74fad2'
    for (const id of [unknownId, 'no-uuid']) {
      world.runner.sandboxes.set(id, { ...world.runner.get(foreign.id), state: 'stopped', toolbox: undefined })
    }
    world.runner.calls.length = 0
    await reconnect()
    expect(world.runner.sandboxes.has(destroyed.id)).toBe(false)
    expect(world.runner.get(stopped.id).state).toBe('stopped')
    expect([...world.runner.sandboxes.keys()].sort()).toEqual([stopped.id, foreign.id, unknownId, 'no-uuid'].sort())
    expect(world.runner.calls.sort()).toEqual([`remove ${destroyed.id}`, `stop ${stopped.id}`].sort())
    expect((await world.get(foreign.id)).state).toBe('started')
  })

  it('replaces its older connection, and only the newer one counts', async () => {
    const before = await world.create()
    const second = new ScriptedRunner({ url: world.url, token: world.runnerToken })
    second.sandboxes.set(before.id, world.runner.get(before.id))
    await second.connect()
    await until('the older one is cut', async () => !world.runner.isConnected)
    await world.untilRunnerReady()
    await until('the newer one is used', async () => {
      const { status } = await world.call('POST', '/sandbox', { body: {} })
      return status === 200
    })
    expect(second.calls.some((call) => call.startsWith('start'))).toBe(true)
    await second[Symbol.asyncDispose]()
  })

  it('is refused with a wrong token', async () => {
    const stranger = new ScriptedRunner({ url: world.url, token: 'not-the-token-of-anyone' })
    await expect(stranger.connect()).rejects.toMatchObject({ status: 401 })
  })

  it('that sends unknown events is cut off, and works when it comes back', async () => {
    world.runner.emitText('nonsense\n')
    await until('it is cut off', () => !world.runner.isConnected)
    await untilGone()
    await reconnect()
    expect((await world.create()).state).toBe('started')
  })
})

describe('an event', () => {
  it('of a sandbox that ended by itself stops its row, with the reason', async () => {
    const { id } = await world.create()
    await world.runner.crash(id, 'killed: out of memory')
    await world.untilState(id, 'stopped')
    const last = (await eventsOf(id)).at(-1)
    expect(last).toMatchObject({ event: 'exited', actorKind: 'runner', reason: 'killed: out of memory' })
    expect((await world.call('POST', `/sandbox/${id}/start`)).status).toBe(200)
  })

  it('that is older than the newest start changes nothing', async () => {
    const { id } = await world.create()
    world.runner.emit({ type: 'status', status: { sandboxId: id, state: 'stopped', reason: 'long ago' } })
    world.runner.emit({ type: 'status', status: { sandboxId: 'no-uuid', state: 'stopped' } })
    await until('it is looked into', () => world.runner.calls.includes(`status ${id}`))
    expect((await world.create()).state).toBe('started')
    expect((await world.get(id)).state).toBe('started')
  })
})

describe('placement', () => {
  it('gives out no more than there is, however many ask at once', async () => {
    await world.runner.disconnect()
    await untilGone()
    // With the overcommit factor, the memory is enough for eight sandboxes of a GiB each.
    world.runner.info = { ...world.runner.info, memoryGiB: 8.5 / OVERCOMMIT.memoryGib }
    await reconnect()
    const answers = await Promise.all(Array.from({ length: 12 }, () => world.call('POST', '/sandbox', { body: {} })))
    const made = answers.filter((answer) => answer.status === 200)
    expect(made).toHaveLength(8)
    for (const answer of answers) {
      if (answer.status !== 200) expect((answer.body as ErrorBody).message).toBe('No available runners')
    }
    const [first, second] = made.map((answer) => (answer.body as { id: string }).id)
    // A stopped sandbox takes no memory, so there is room for one more, and then none to start the first again.
    await world.call('POST', `/sandbox/${first}/stop`)
    await world.untilState(first ?? '', 'stopped')
    expect((await world.call('POST', '/sandbox', { body: {} })).status).toBe(200)
    expect((await world.call('POST', `/sandbox/${first}/start`)).status).toBe(400)
    await world.call('DELETE', `/sandbox/${second}`)
    await world.untilState(second ?? '', 'destroyed')
    expect((await world.call('POST', `/sandbox/${first}/start`)).status).toBe(200)
  })
})
