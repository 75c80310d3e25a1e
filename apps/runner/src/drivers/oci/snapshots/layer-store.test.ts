import { mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runCommand } from '../../../run-command.ts'
import type { Layer, LayerStore } from './layer-store.ts'
import { openLayerStore } from './layer-store.ts'

const ID = 'abcdefgh01234567'

let folder: string
let layers: LayerStore
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'atoll-layers-')))
  layers = await openLayerStore(folder, runCommand)
})
afterEach(() => rm(folder, { recursive: true }))

it('two that bring the same layer at the same time both have it', async () => {
  const drafts = [await layers.draft(), await layers.draft()]
  for (const { tree } of drafts) await writeFile(join(tree, 'file'), 'same')
  const pinned: Layer[] = []
  const commits = drafts.map((draft) => draft.commit({ id: ID, pin: (layer) => void pinned.push(layer) }))
  const [one, other] = await Promise.all(commits)
  expect(other).toBe(one)
  expect(pinned).toEqual([one, one])
  expect(await readFile(join(layers.find(ID)?.tree ?? '', 'file'), 'utf8')).toBe('same')
  expect(await readdir(folder)).toEqual([ID])
})
