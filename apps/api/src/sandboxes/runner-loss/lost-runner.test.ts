import type { ErrorBody, Runner, Sandbox } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SandboxWorld } from '../../testing/sandbox-world.ts'
import { createSandboxWorld } from '../../testing/sandbox-world.ts'
import { ScriptedRunner } from '../../testing/scripted-runner.ts'
import { snapshotCalls } from '../../testing/snapshot-calls.ts'
import type { TestPrincipal } from '../../testing/test-api.ts'
import { until } from '../../testing/until.ts'
import { createBackupStore } from '../backups/backup-store.ts'
import { createSandboxChanges } from '../sandbox-changes.ts'
import { createSandboxStore } from '../sandbox-store.ts'
import { createRunnerLoss } from './runner-loss.ts'
import { createRunnerLossStore } from './runner-loss-store.ts'

let world: SandboxWorld
let admin: TestPrincipal
let localId: string
let others: ScriptedRunner[]

beforeEach(async () => {
  world = await createSandboxWorld({ config: { runnerLostAfterMs: 0 } })
  admin = await world.createPrincipal({ systemRole: 'admin' })
  const [local] = (await world.call('GET', '/runners', { as: admin })).body as Runner[]
  localId = local?.id ?? ''
  others = []
})
afterEach(async () => {
  for (const other of others) await other[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

async function addRunner(): Promise<{ id: string; runner: ScriptedRunner }> {
  const body = { name: 'other', region: 'us' }
  const made = (await world.call('POST', '/runners', { as: admin, body })).body as Runner
  const runner = new ScriptedRunner({ url: world.url, token: made.apiKey })
  others.push(runner)
  await runner.connect()
  await until('it is ready', async () => {
    const answer = await world.call('GET', `/runners/${made.id}`, { as: admin })
    return (answer.body as Runner).state === 'ready'
  })
  return { id: made.id, runner }
}

/** Notices the loss as another replica would. */
async function notice(): Promise<void> {
  const { database } = world.api
  const changes = createSandboxChanges({ subscribe: () => undefined })
  const now = Date.now
  await using watch = createRunnerLoss({
    losses: createRunnerLossStore(database, changes),
    store: createSandboxStore({ database, changes, now }),
    backups: createBackupStore({ ...database, now }),
    room: { elsewhere: () => Promise.reject(new Error('nothing is being made')) },
    ...{ log: createLogger('test', 'silent'), now, lostAfterMs: 0 },
  })
  // The first look only begins the watch.
  for (let look = 0; look < 2; look++) await watch.pass()
}

async function lose(): Promise<void> {
  await world.runner.disconnect()
  const { sql } = world.api.database
  await until('it is known to be gone', async () => {
    const rows = await sql`select 1 from runners where id = ${localId} and last_seen_at is null and heard_at < now()`
    return rows.length === 1
  })
  await notice()
}

/** The name of one that the first runner alone has. */
async function pulledSnapshot(): Promise<string> {
  const { id, name } = await snapshotCalls(() => world).active()
  await world.api.database.sql`update snapshots set digest = 'sha256:1' where id = ${id}`
  return name
}

async function withBackup(files: string, body: object = {}): Promise<Sandbox> {
  const sandbox = await world.create(body)
  world.runner.get(sandbox.id).files = Buffer.from(files)
  await world.call('POST', `/sandbox/${sandbox.id}/backup`)
  await until('it is backed up', async () => (await world.get(sandbox.id)).backupState === 'Completed')
  return sandbox
}

async function refusal(method: string, path: string, body?: object): Promise<[number, string]> {
  const answer = await world.call(method, path, body === undefined ? {} : { body })
  return [answer.status, (answer.body as ErrorBody).message]
}

describe('a sandbox whose runner is lost', () => {
  it('L2: is unknown, says why, and every call is refused at once', async () => {
    const { id } = await world.create()
    const path = `/sandbox/${id}`
    const unreachable = 'Sandbox cannot be reached: its runner is lost'
    expect((await world.call('GET', `/toolbox/${id}/toolbox/files`)).status).toBe(200)
    await lose()
    expect(await world.get(id)).toMatchObject({
      ...{ state: 'unknown', desiredState: 'started', recoverable: false },
      errorReason: 'Its runner is lost, or has its files no more, and there is no backup of them',
    })
    const listed = await world.call('GET', '/sandbox/paginated?states=unknown')
    expect((listed.body as { items: Sandbox[] }).items.map((item) => item.id)).toEqual([id])
    expect((await world.call('GET', `/workspace/${id}`)).body).toMatchObject({ state: 'unknown' })
    for (const command of ['start', 'stop', 'archive']) {
      expect(await refusal('POST', `${path}/${command}`)).toEqual([400, unreachable])
    }
    expect(await refusal('POST', `${path}/backup`)).toEqual([400, 'Sandbox is not in valid state'])
    expect(await refusal('POST', `${path}/recover`)).toEqual([400, 'Sandbox is not in a recoverable error state'])
    // The API hears of it from the database.
    await expect.poll(() => refusal('GET', `/toolbox/${id}/toolbox/files`)).toEqual([502, unreachable])
    await world.runner.connect()
    await world.untilState(id, 'started')
    expect((await world.get(id)).errorReason).toBeUndefined()
  })

  it('L4: with a backup is recovered elsewhere, when asked to, and removed from the runner that returns', async () => {
    const { id } = await withBackup('then')
    const bare = await world.create()
    const other = await addRunner()
    const old = world.runner.get(id)
    await lose()
    const { backupCreatedAt, errorReason, recoverable } = await world.get(id)
    expect(recoverable).toBe(true)
    expect(errorReason).toContain(`backup of ${backupCreatedAt}; what changed since is lost`)
    expect(await refusal('POST', `/sandbox/${id}/start`)).toEqual([400, expect.stringContaining('runner is lost')])
    expect((await world.call('POST', `/sandbox/${id}/recover`)).body).toMatchObject({ state: 'restoring' })
    await world.untilState(id, 'started')
    expect((await world.get(id)).runnerId).toBe(other.id)
    expect(other.runner.get(id).files.toString()).toBe('then')
    // L6: the earlier toolbox is not let in.
    await until('it is cut off', () => old.toolbox?.closed === true)
    await expect(world.runner.dial(id)).rejects.toThrow()
    await world.runner.connect()
    await world.untilState(bare.id, 'started')
    await until('nothing of it is left there', () => !world.runner.sandboxes.has(id))
    expect(await world.get(id)).toMatchObject({ state: 'started', runnerId: other.id })
    expect(other.runner.get(id).state).toBe('running')
  })

  it('L4: is recovered where its snapshot has to be pulled first', async () => {
    const { id } = await withBackup('then', { snapshot: await pulledSnapshot() })
    const other = await addRunner()
    await lose()
    expect((await world.call('POST', `/sandbox/${id}/recover`)).body).toMatchObject({ state: 'restoring' })
    await world.untilState(id, 'started')
    expect(other.runner.get(id).files.toString()).toBe('then')
  })

  it('L9: is deleted at once, and from its runner when that returns', async () => {
    const { id } = await world.create()
    await lose()
    expect((await world.call('DELETE', `/sandbox/${id}`)).status).toBe(200)
    // The API's own watch may have seen it already.
    expect((await world.get(id)).state).toMatch(/^destroy(ing|ed)$/)
    await notice()
    expect((await world.get(id)).state).toBe('destroyed')
    await world.runner.connect()
    await until('nothing of it is left there', () => world.runner.sandboxes.size === 0)
  })

  it('L5: is not taken from a runner that is just returning', async () => {
    const { id } = await withBackup('then')
    await addRunner()
    await lose()
    const { sql } = world.api.database
    await sql`update runners set last_seen_at = now() where id = ${localId}`
    expect(await refusal('POST', `/sandbox/${id}/recover`)).toEqual([400, expect.stringContaining('returning')])
    await sql`update runners set last_seen_at = null where id = ${localId}`
    expect((await world.call('POST', `/sandbox/${id}/recover?skipStart=true`)).body).toMatchObject({
      state: 'archived',
    })
  })
})

describe('a sandbox whose runner does not have it any more', () => {
  it('L5: is recovered from its backup, on that runner if there is no other, and not while the runner has it', async () => {
    const { id } = await withBackup('then')
    const bare = await world.create()
    await lose()
    const old = world.runner.get(id)
    for (const sandbox of world.runner.sandboxes.values()) sandbox.toolbox?.close('its host is installed anew')
    world.runner.sandboxes.clear()
    await world.runner.connect()
    await world.untilRunnerReady()
    expect(await world.get(id)).toMatchObject({ state: 'unknown', recoverable: true })
    expect(await world.get(bare.id)).toMatchObject({ state: 'unknown', recoverable: false })
    world.runner.sandboxes.set(id, old)
    expect(await refusal('POST', `/sandbox/${id}/recover`)).toEqual([400, expect.stringContaining('returning')])
    world.runner.sandboxes.clear()
    expect((await world.call('POST', `/sandbox/${id}/recover`)).body).toMatchObject({ state: 'restoring' })
    await world.untilState(id, 'started')
    expect(world.runner.get(id).files.toString()).toBe('then')
    expect((await world.call('DELETE', `/sandbox/${bare.id}`)).status).toBe(200)
    await world.untilState(bare.id, 'destroyed')
  })

  it('L2: is unknown once a start finds that out', async () => {
    const { id } = await world.create()
    await world.call('POST', `/sandbox/${id}/stop`)
    await world.untilState(id, 'stopped')
    world.runner.sandboxes.clear()
    expect(await refusal('POST', `/sandbox/${id}/start`)).toEqual([400, expect.stringContaining('files no more')])
    expect(await world.get(id)).toMatchObject({ state: 'unknown', recoverable: false })
  })
})

describe('removing a lost runner', () => {
  it('L11: needs force, and leaves archived what has a backup', async () => {
    const kept = await withBackup('then')
    const image = await withBackup('of an image', { snapshot: await pulledSnapshot() })
    const bare = await world.create()
    const remove = (query: string) => world.call('DELETE', `/runners/${localId}${query}`, { as: admin })
    expect((await remove('?force=true')).status).toBe(409)
    await lose()
    const refused = await remove('')
    expect([refused.status, (refused.body as ErrorBody).message]).toEqual([409, expect.stringContaining('force=true')])
    expect((await remove('?force=true')).status).toBe(204)
    await notice()
    expect(await world.get(kept.id)).toMatchObject({ state: 'archived', recoverable: false })
    expect(await world.get(bare.id)).toMatchObject({
      state: 'error',
      errorReason: expect.stringContaining('no backup'),
    })
    await expect(world.runner.connect()).rejects.toMatchObject({ status: 401 })
    const other = await addRunner()
    await world.call('POST', `/sandbox/${kept.id}/start`)
    await world.untilState(kept.id, 'started')
    expect(other.runner.get(kept.id).files.toString()).toBe('then')
    await world.call('POST', `/sandbox/${image.id}/start`)
    await world.untilState(image.id, 'started')
    expect(other.runner.get(image.id).files.toString()).toBe('of an image')
    await world.call('DELETE', `/sandbox/${bare.id}`)
    await notice()
    expect((await world.get(bare.id)).state).toBe('destroyed')
  })
})
