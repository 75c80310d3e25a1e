import { mkdirSync, writeFileSync } from 'node:fs'
import { appendFile, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { FileChange, WatchMessage } from '@atoll/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ChannelClient, ChannelFront } from '../testing/channel-client.ts'
import { startChannelFront } from '../testing/channel-client.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { createTestToolbox, target } from '../testing/test-toolbox.ts'
import { MAX_QUEUED_CHANGES } from './change-queue.ts'
import { MAX_WATCHES } from './watch-channel.ts'

let toolbox: TestToolbox
let front: ChannelFront
let root: string
beforeEach(async () => {
  toolbox = await createTestToolbox()
  front = await startChannelFront(toolbox.peer)
  root = join(toolbox.folder, 'root')
  await mkdir(root)
})
afterEach(async () => {
  await front[Symbol.asyncDispose]()
  await toolbox[Symbol.asyncDispose]()
  expect(toolbox.errors).toEqual([])
})

const at = (name: string) => join(root, name)
const nextMessage = async (client: ChannelClient): Promise<WatchMessage> => JSON.parse(String(await client.next()))

async function open(query: Record<string, string | Buffer> = {}): Promise<ChannelClient> {
  return front.connect(target('/files/watch', { path: 'root', recursive: 'true', ...query }))
}

/** Returns a client that was told that everything is watched. */
async function watch(query: Record<string, string | Buffer> = {}, path = root): Promise<ChannelClient> {
  const client = await open(query)
  expect(await nextMessage(client)).toEqual({ type: 'ready', path })
  return client
}

/** Returns the changes up to the given one, as `created a/b`, folders with a slash. */
async function until(client: ChannelClient, last: string): Promise<string[]> {
  const told: string[] = []
  for (;;) {
    const message = await nextMessage(client)
    if (message.type === 'changes') told.push(...message.changes.map(describeChange))
    else told.push(message.type)
    if (told.includes(last)) return told
  }
}

function describeChange({ type, path, isDir }: FileChange): string {
  expect(path === root || path.startsWith(`${root}/`)).toBe(true)
  return `${type} ${path.slice(root.length + 1)}${isDir ? '/' : ''}`
}

describe('a watch', () => {
  it('tells what is created, changed and deleted, and what a new folder holds', async () => {
    await writeFile(at('old'), '')
    const client = await watch()
    // The file is empty, because a write after its creation may be reported as a change of its own.
    await writeFile(at('new'), '')
    expect(await until(client, 'created new')).toEqual(['created new'])
    await appendFile(at('old'), 'x')
    expect(await until(client, 'changed old')).toEqual(['changed old'])
    await mkdir(at('a/b/c'), { recursive: true })
    await writeFile(at('a/b/c/deep'), '')
    expect(await until(client, 'created a/b/c/deep')).toEqual([
      'created a/',
      'created a/b/',
      'created a/b/c/',
      'created a/b/c/deep',
    ])
    await appendFile(at('a/b/c/deep'), 'x')
    await until(client, 'changed a/b/c/deep')
    await rm(at('a/b/c/deep'))
    await until(client, 'deleted a/b/c/deep')
  })

  it('tells a move as a deletion and a creation, and goes on below the new name', async () => {
    await mkdir(at('from'))
    await writeFile(at('from/f'), '')
    const client = await watch()
    await rename(at('from'), at('to'))
    const told = await until(client, 'created to/f')
    expect(told).toEqual(expect.arrayContaining(['deleted from/', 'created to/', 'created to/f']))
    await writeFile(at('to/f'), 'x')
    expect(await until(client, 'changed to/f')).toEqual(['changed to/f'])
  })

  it('tells of a file that is replaced as one change', async () => {
    await writeFile(at('f'), 'old')
    const client = await watch()
    await writeFile(at('.f.tmp'), 'new')
    await rename(at('.f.tmp'), at('f'))
    expect(await until(client, 'changed f')).not.toContain('deleted f')
  })

  it('looks into a folder that took the place of another', async () => {
    await mkdir(at('d'))
    await writeFile(at('d/before'), '')
    const client = await watch()
    await rm(at('d'), { recursive: true })
    await mkdir(at('d'))
    await writeFile(at('d/after'), '')
    await until(client, 'created d/after')
    await appendFile(at('d/after'), 'x')
    await until(client, 'changed d/after')
  })

  it('is not recursive unless asked', async () => {
    await mkdir(at('d'))
    const client = await watch({ recursive: 'false' })
    await writeFile(at('d/inside'), '')
    await mkdir(at('e'))
    await writeFile(at('e/inside'), '')
    await rm(at('d'), { recursive: true })
    expect((await until(client, 'deleted d/')).sort()).toEqual(['created e/', 'deleted d/'])
  })

  it('does not look at what is ignored', async () => {
    await mkdir(at('node_modules/x'), { recursive: true })
    const client = await watch({ ignore: 'node_modules,*.log,build/**' })
    for (const name of ['node_modules/x/f', 'a.log']) await writeFile(at(name), '')
    await mkdir(at('build'))
    await mkdir(at('src/node_modules'), { recursive: true })
    await writeFile(at('src/f'), '')
    await writeFile(at('last'), '')
    expect((await until(client, 'created last')).sort()).toEqual(['created last', 'created src/', 'created src/f'])
  })

  it('does not follow links, not even in circles', async () => {
    await symlink('.', at('circle'))
    const client = await watch()
    await symlink('/etc', at('link'))
    expect(await until(client, 'created link')).toEqual(['created link'])
    await rm(at('circle'))
    expect(await until(client, 'deleted circle')).toEqual(['deleted circle'])
  })

  it('tells names of all kinds', async () => {
    const client = await watch()
    for (const name of ['a\nb', ' ', '-rf', 'ü', '"quoted"', 'x'.repeat(255)]) {
      await writeFile(at(name), '')
      await until(client, `created ${name}`)
    }
    const odd = Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x61])])
    await writeFile(odd, '')
    await until(client, 'created \ufffda')
    await rm(odd)
    await until(client, 'deleted \ufffda')
  })

  it('follows a link that is asked for itself, and tells paths below it', async () => {
    const real = join(toolbox.folder, 'real')
    await rm(root, { recursive: true })
    await mkdir(real)
    await symlink(real, root)
    const client = await watch({ path: `${root}/` })
    await writeFile(join(real, 'f'), '')
    expect(await until(client, 'created f')).toEqual(['created f'])
  })

  it('may be of one file, which may be replaced', async () => {
    await writeFile(at('f'), '')
    await writeFile(at('other'), '')
    const client = await watch({ path: at('f') }, at('f'))
    await writeFile(at('other'), 'x')
    // Appends, because emptying the file first is a change of its own.
    await appendFile(at('f'), 'x')
    expect(await until(client, 'changed f')).toEqual(['changed f'])
    await rename(at('other'), at('f'))
    expect(await until(client, 'changed f')).toEqual(['changed f'])
    await rm(at('f'))
    expect(await until(client, 'deleted f')).toEqual(['deleted f'])
    await writeFile(at('f'), 'x')
    expect(await until(client, 'created f')).toEqual(['created f'])
  })

  it('waits for the return of its path', async () => {
    const client = await watch()
    await rm(root, { recursive: true })
    expect(await until(client, 'deleted /')).toEqual(['deleted /'])
    await mkdir(root)
    expect(await until(client, 'rescan')).toEqual(['created /', 'rescan'].slice(1))
    await writeFile(at('f'), '')
    await until(client, 'created f')
  })

  it('ends with its socket', async () => {
    const clients = await Promise.all(Array.from({ length: MAX_WATCHES }, () => watch()))
    const more = await open()
    expect(await nextMessage(more)).toEqual({ type: 'error', error: `${MAX_WATCHES} watches are open already` })
    expect(await more.closed).toMatchObject({ code: 1008 })
    const [first] = clients
    first?.socket.close()
    await first?.closed
    await watch()
  })
})

describe('a watch that cannot be', () => {
  it.each([
    [{ path: 'none' }, 'no such file'],
    [{ path: 'a\0b' }, 'NUL'],
    [{ ignore: '[a' }, 'does not end'],
    [{ ignore: 'a,'.repeat(100) }, '64 patterns'],
  ])('%j is told why', async (query, words) => {
    const client = await open(query)
    expect(await nextMessage(client)).toEqual({ type: 'error', error: expect.stringContaining(words) })
    expect(await client.closed).toMatchObject({ code: 1008 })
  })
})

describe('many changes at once', () => {
  /** Reads until every name is known, from a change or by a rescan. */
  async function untilKnown(client: ChannelClient, names: string[]): Promise<{ rescans: number; messages: number }> {
    const unknown = new Set(names)
    let rescans = 0
    let messages = 0
    while (unknown.size > 0) {
      const message = await nextMessage(client)
      messages += 1
      if (message.type === 'rescan') {
        rescans += 1
        unknown.clear()
      }
      if (message.type === 'changes') {
        for (const { path } of message.changes) unknown.delete(path.slice(root.length + 1))
      }
    }
    return { rescans, messages }
  }

  it('come together in few messages', async () => {
    const client = await watch()
    const names = Array.from({ length: 10_000 }, (_, index) => `f${index}`)
    const known = untilKnown(client, names)
    for (let start = 0; start < names.length; start += 100) {
      await Promise.all(names.slice(start, start + 100).map((name) => writeFile(at(name), '')))
    }
    expect((await known).messages).toBeLessThan(1000)
    await writeFile(at('last'), '')
    await until(client, 'created last')
  })

  it('are not lost in silence when the system itself loses them', async () => {
    const client = await watch()
    const known = untilKnown(client, ['never-made'])
    // Writes without a break, so that the kernel's queue is not read meanwhile.
    mkdirSync(at('d'))
    for (let count = 0; count < 20_000; count += 1) writeFileSync(at(`f${count}`), '')
    expect((await known).rescans).toBe(1)
    await writeFile(at('last'), '')
    await until(client, 'created last')
    await writeFile(at('d/in'), '')
    await until(client, 'created d/in')
  })

  it('make a client that does not read list anew', async () => {
    const reader = await watch()
    const stalled = await watch()
    stalled.socket.pause()
    // Long paths fill the buffers of the sockets.
    const folder = at(Array.from({ length: 5 }, () => 'x'.repeat(250)).join('/'))
    await mkdir(folder, { recursive: true })
    for (let count = 0; count < MAX_QUEUED_CHANGES + 8_000; count += 1) {
      writeFileSync(join(folder, String(count)), '')
      if (count % 500 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await writeFile(at('last'), '')
    await untilKnown(reader, ['last'])
    stalled.socket.resume()
    await untilKnown(stalled, ['never-made'])
    await writeFile(at('later'), '')
    await until(stalled, 'created later')
  })
})

describe('a client that believes what it is told', () => {
  /** Path below the root → whether it is a folder. */
  type Model = Map<string, boolean>

  function apply(model: Model, { type, path, isDir }: FileChange): void {
    const name = path.slice(root.length + 1)
    if (type !== 'deleted') model.set(name, isDir)
    else for (const known of model.keys()) if (known === name || known.startsWith(`${name}/`)) model.delete(known)
  }

  async function list(): Promise<Model> {
    const entries = await readdir(root, { withFileTypes: true, recursive: true })
    return new Map(
      entries.map((entry) => [join(entry.parentPath, entry.name).slice(root.length + 1), entry.isDirectory()]),
    )
  }

  it('knows in the end what is there, whatever happened', async () => {
    const names = ['a', 'b', 'a/c', 'a/d', 'b/c', 'a/c/e', 'a/c/f', 'b/c/e']
    const place = fc.constantFrom(...names)
    const step = fc.oneof(
      ...(['write', 'folder', 'delete'] as const).map((act) => fc.record({ act: fc.constant(act), at: place })),
      fc.record({ act: fc.constant('move' as const), at: place, to: place }),
      fc.record({ act: fc.constant('pause' as const), ms: fc.integer({ min: 0, max: 40 }) }),
    )
    const client = await watch()
    const model: Model = new Map()
    let round = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        for (const given of steps) {
          // Most steps are impossible, such as a file in a file.
          if (given.act === 'write') await writeFile(at(given.at), String(round)).catch(() => {})
          else if (given.act === 'folder') await mkdir(at(given.at)).catch(() => {})
          else if (given.act === 'delete') await rm(at(given.at), { recursive: true }).catch(() => {})
          else if (given.act === 'move') await rename(at(given.at), at(given.to)).catch(() => {})
          else if (given.act === 'pause') await new Promise((resolve) => setTimeout(resolve, given.ms))
        }
        round += 1
        await writeFile(at(`last${round}`), '')
        const there = await list()
        // The test's deadline bounds the wait for changes that were missed.
        while (!isDeepStrictEqual([...model].sort(), [...there].sort())) {
          const message = await nextMessage(client)
          if (message.type === 'changes') for (const change of message.changes) apply(model, change)
        }
      }),
      { numRuns: 60, endOnFailure: true },
    )
  })
})
