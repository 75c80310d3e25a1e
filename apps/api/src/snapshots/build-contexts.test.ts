import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { extract, pack } from 'tar-stream'
import { describe, expect, it } from 'vitest'
import { createBuildContexts } from './build-contexts.ts'

const signal = new AbortController().signal

async function archive(files: Record<string, string>): Promise<Buffer> {
  const tar = pack()
  for (const [name, text] of Object.entries(files)) tar.entry({ name, mode: 0o640 }, text)
  tar.finalize()
  return await buffer(tar)
}

async function filesOf(bytes: Buffer): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  const entries = extract()
  Readable.from([bytes]).pipe(entries)
  for await (const entry of entries) found[entry.header.name] = (await buffer(entry)).toString()
  return found
}

async function contexts(uploaded: Record<string, Buffer>) {
  return createBuildContexts({
    objects: {
      async get(key) {
        const bytes = uploaded[key]
        return bytes && { body: Readable.from([bytes]) }
      },
    },
  })
}

describe('the contexts of a build', () => {
  it('come as they are when there is one', async () => {
    const bytes = await archive({ 'a.txt': 'A' })
    const { open } = await contexts({ 'o/1/context.tar': bytes })
    expect(await buffer(await open('o', ['1'], signal))).toEqual(bytes)
  })

  it('come as one archive when there are several, large files included', async () => {
    const large = 'x'.repeat(3_000_000)
    const { open } = await contexts({
      'o/1/context.tar': await archive({ 'a.txt': 'A', 'dir/b.txt': large }),
      'o/2/context.tar': await archive({ 'c.txt': 'C' }),
    })
    const bytes = await buffer(await open('o', ['1', '2'], signal))
    expect(await filesOf(bytes)).toEqual({ 'a.txt': 'A', 'dir/b.txt': large, 'c.txt': 'C' })
  })

  it('of other organizations are as unknown as those that were never uploaded', async () => {
    const { open } = await contexts({ 'other/1/context.tar': await archive({ a: 'A' }) })
    await expect(open('o', ['1'], signal)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('fail whole when one of them is missing or no archive', async () => {
    const good = await archive({ a: 'A' })
    const missing = await contexts({ 'o/1/context.tar': good })
    await expect(buffer(await missing.open('o', ['1', '2'], signal))).rejects.toThrow('never uploaded')
    const broken = await contexts({ 'o/1/context.tar': good, 'o/2/context.tar': Buffer.alloc(2_048, 'x') })
    await expect(buffer(await broken.open('o', ['1', '2'], signal))).rejects.toThrow()
  })
})
