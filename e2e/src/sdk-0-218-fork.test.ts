import { randomUUID } from 'node:crypto'
import type { Daytona, Sandbox } from 'daytona-sdk-0-218'
import { DaytonaConflictError } from 'daytona-sdk-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call, sdk218 } from './testing/shared-system.ts'

let daytona: Daytona
let parent: Sandbox
const made: Sandbox[] = []

beforeAll(async () => {
  daytona = sdk218()
  parent = await daytona.create({ envVars: { GREETING: 'hello' }, labels: { of: 'forks' } })
})
afterAll(async () => {
  for (const sandbox of [...made, parent]) await sandbox?.delete()
  await daytona[Symbol.asyncDispose]()
})

async function fork(of: Sandbox, name?: string): Promise<Sandbox> {
  const child = await of.fork(name === undefined ? {} : { name })
  made.push(child)
  return child
}

const run = async (sandbox: Sandbox, command: string) => (await sandbox.process.executeCommand(command)).result

async function idsOf(path: string): Promise<string[]> {
  const answer = await call(path)
  expect(answer.status).toBe(200)
  return ((await answer.json()) as { id: string }[]).map(({ id }) => id)
}

describe('a fork through SDK 0.218', () => {
  const name = `fork ${randomUUID()}`
  let child: Sandbox

  it('of a running sandbox is started, with its files and its environment', async () => {
    await parent.fs.uploadFile(Buffer.from('of the moment'), 'file.txt')
    await run(parent, 'mkdir -p deep && ln file.txt deep/link && chmod 640 file.txt && sleep 1000 >/dev/null 2>&1 &')
    child = await fork(parent, name)
    expect(child).toMatchObject({ name, state: 'started', labels: { of: 'forks' }, env: { GREETING: 'hello' } })
    expect(await run(child, 'cat deep/link; stat -c " %a %h" file.txt; echo "$GREETING"')).toBe(
      'of the moment 640 2\nhello\n',
    )
  })

  it('goes its own way, and so does its parent', async () => {
    await run(child, 'echo child > file.txt')
    await run(parent, 'echo parent > other.txt')
    expect(await run(parent, 'cat file.txt')).toBe('of the moment')
    expect(await run(child, 'ls other.txt 2>&1')).toContain('No such file')
    expect(await run(parent, 'hostname')).not.toBe(await run(child, 'hostname'))
  })

  it('of a fork works, and outlives it', async () => {
    const grandchild = await daytona._experimental_fork(child)
    made.push(grandchild)
    await child.stop()
    expect(await run(grandchild, 'cat file.txt')).toBe('child\n')
    expect(await idsOf(`/sandbox/${grandchild.id}/ancestors`)).toEqual([child.id, parent.id])
  })

  it('of a stopped sandbox works', async () => {
    const another = await fork(child)
    expect(await run(another, 'cat file.txt')).toBe('child\n')
    expect(another.name).toBe(another.id)
  })

  it('has a name of its own', async () => {
    await expect(parent.fork({ name })).rejects.toBeInstanceOf(DaytonaConflictError)
  })
})

describe('over REST', () => {
  it('answers when the fork has started, and tells who belongs to whom', async () => {
    const answer = await call(`/sandbox/${parent.id}/fork`, { method: 'POST' })
    const child = (await answer.json()) as { id: string; state: string }
    expect([answer.status, child.state]).toEqual([200, 'started'])
    made.push(await daytona.get(child.id))
    expect(await idsOf(`/sandbox/${parent.id}/forks`)).toContain(child.id)
    expect(await (await call(`/sandbox/${child.id}/parent`)).json()).toMatchObject({ id: parent.id })
    expect((await call(`/sandbox/${parent.id}/parent`)).status).toBe(404)
  })
})
