import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { TreeEntry } from './file-tree.ts'
import { writeOnce, writeTree } from './file-tree.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-tree-'))
})
afterEach(() => rm(folder, { recursive: true }))

const file = (content: string): TreeEntry => ({ kind: 'file', path: 'a/b', mode: 0o640, content, owner: 1000 })

it('a tree is named by its content', async () => {
  const first = await writeTree(folder, 'tree', [file('x')])
  expect(await writeTree(folder, 'tree', [file('x')])).toBe(first)
  expect(await writeTree(folder, 'tree', [file('y')])).not.toBe(first)
  expect(await readFile(join(first, 'a/b'), 'utf8')).toBe('x')
  const { mode, uid } = await stat(join(first, 'a/b'))
  expect([mode & 0o777, uid]).toEqual([0o640, 1000])
  expect(await readdir(folder)).toHaveLength(2)
})

it('what is there already is not touched', async () => {
  const tree = await writeTree(folder, 'tree', [file('x')])
  await writeFile(join(tree, 'mark'), '')
  await writeTree(folder, 'tree', [file('x')])
  expect(await readdir(tree)).toEqual(['a', 'mark'])
})

it('a writing that fails leaves nothing', async () => {
  const writing = writeOnce(join(folder, 'target'), async (draft) => {
    await mkdir(draft)
    throw new Error('full')
  })
  await expect(writing).rejects.toThrow('full')
  expect(await readdir(folder)).toEqual([])
})
