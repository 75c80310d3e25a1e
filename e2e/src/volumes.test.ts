import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { call, sdk17, sdk23 } from './testing/shared-system.ts'

describe('volumes through SDK 0.23', () => {
  const name = `shared-${randomUUID()}`

  it('are shared between sandboxes, and outlive them', async () => {
    const daytona = sdk23()
    // This SDK creates the volume because the name is unknown.
    const volume = await daytona.volume.get(name, true)
    await eventually('it is ready', async () => (await daytona.volume.get(name)).state === 'ready')
    const volumes = [{ volumeId: volume.id, mountPath: '/home/daytona/shared' }]
    const [writer, reader] = await Promise.all([daytona.create({ volumes }), daytona.create({ volumes })])
    await writer.process.executeCommand('echo first > /home/daytona/shared/a')
    expect((await reader.process.executeCommand('cat /home/daytona/shared/a')).result).toBe('first\n')
    await Promise.all([writer.delete(), reader.delete()])
    const later = await daytona.create({ volumes })
    expect((await later.process.executeCommand('cat /home/daytona/shared/a')).result).toBe('first\n')
    expect((await call(`/volumes/${volume.id}`)).status).toBe(200)
    const refused = await call(`/volumes/${volume.id}`, { method: 'DELETE' })
    expect(refused.status).toBe(409)
    await later.delete()
    await eventually('nobody has it', async () => {
      return (await call(`/volumes/${volume.id}`, { method: 'DELETE' })).status === 200
    })
    await eventually('it is deleted', async () => (await daytona.volume.list()).every(({ id }) => id !== volume.id))
    const all = (await (await call('/volumes?includeDeleted=true')).json()) as { id: string; name: string }[]
    expect(all.find(({ id }) => id === volume.id)?.name).toBe(`${name}-deleted`)
  })
})

describe('volumes through SDK 0.17', () => {
  it('are made, listed, found and deleted', async () => {
    const daytona = sdk17()
    const name = `oldest-${randomUUID()}`
    const made = await daytona.volume.create(name)
    await eventually('it is ready', async () => (await daytona.volume.get(name)).state === 'ready')
    expect((await daytona.volume.list()).map((volume) => volume.name)).toContain(name)
    await daytona.volume.delete(made)
    await eventually('it is gone', async () => (await daytona.volume.list()).every((volume) => volume.name !== name))
  })
})
