import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { createKeyedQueue } from '../../../concurrency.ts'
import { flushFolder } from '../../../files.ts'
import type { RunCommand } from '../../../run-command.ts'
import { removeTree } from '../remove-tree.ts'

/** Name of a layer's folder of files; short, because the paths of all layers must fit into one page of mount options. */
const TREE = 't'
const RECORD_FILE = 'layer.json'
const DRAFT_MARK = '.draft-'
/** How long a large tree may take to be measured or flushed, in milliseconds. */
const TREE_DEADLINE_MS = 10 * 60_000

const LAYER_ID = /^[a-z0-9]{16}$/

/** The record of a layer on disk. */
const LayerRecord = Type.Object({
  /** Bytes on disk. */
  bytes: Type.Number(),
  /** Digests, as registries name them, of the blobs that hold the files of this layer. */
  blobs: Type.Array(Type.String()),
})

export interface Layer {
  readonly id: string
  /** The folder that overlayfs mounts as a layer. */
  readonly tree: string
  readonly bytes: number
  readonly blobs: readonly string[]
}

/** A layer that is being written. */
export interface LayerDraft {
  /** The folder to fill. */
  readonly tree: string
  /** Empty folders for the code that fills `tree`; removed with the draft. */
  readonly jail: string
  readonly scratch: string
  /**
   * Makes the draft a layer, flushed to disk. `id`: of a layer from another runner; the one that is here by then is returned
   * instead. `pin` is called before the layer can be removed.
   */
  commit(facts: { blobs?: readonly string[]; id?: string; pin: (layer: Layer) => void }): Promise<Layer>
  /** Does nothing after a commit. */
  discard(): Promise<void>
}

/** The layers on this runner's disk. A layer stays until `removeUnused` is called and finds it unused. */
export interface LayerStore {
  find(id: string): Layer | undefined
  /** Returns the layer with the files of this blob of a registry. */
  findBlob(digest: string): Layer | undefined
  draft(): Promise<LayerDraft>
  /** Removes every unused layer; calls `isUsed` for each just before. */
  removeUnused(isUsed: (id: string) => boolean): Promise<void>
}

/** Opens the store in `folder`; removes drafts that an interrupted making or removal left. */
export async function openLayerStore(folder: string, run: RunCommand): Promise<LayerStore> {
  const layers = new Map<string, Layer>()
  // Two snapshots may bring the same layer at the same time.
  const commits = createKeyedQueue()
  for (const name of await readdir(folder)) {
    const layer = LAYER_ID.test(name) ? await readLayer(folder, name) : undefined
    if (layer === undefined) await removeTree(join(folder, name), run)
    else layers.set(name, layer)
  }
  return {
    find: (id) => layers.get(id),
    findBlob: (digest) => [...layers.values()].find(({ blobs }) => blobs.includes(digest)),
    draft: async () => {
      const draft = join(folder, `${DRAFT_MARK}${randomUUID()}`)
      const [tree, jail, scratch] = [join(draft, TREE), join(draft, 'jail'), join(draft, 'scratch')]
      await mkdir(draft, { mode: 0o700 })
      await mkdir(tree, { mode: 0o755 })
      for (const path of [jail, scratch]) await mkdir(path, { mode: 0o700 })
      return {
        tree,
        jail,
        scratch,
        commit: ({ blobs = [], id = newLayerId(), pin }) =>
          commits.run(id, async () => {
            const there = layers.get(id)
            if (there) {
              pin(there)
              await removeTree(draft, run)
              return there
            }
            for (const path of [jail, scratch]) await removeTree(path, run)
            const record = { bytes: await measure(tree, run), blobs: [...blobs] }
            await writeFlushed(join(draft, RECORD_FILE), JSON.stringify(record))
            await run(['sync', '--file-system', tree], { deadlineMs: TREE_DEADLINE_MS })
            await rename(draft, join(folder, id))
            await flushFolder(folder)
            const layer = { id, tree: join(folder, id, TREE), ...record }
            pin(layer)
            layers.set(id, layer)
            return layer
          }),
        discard: async () => void (await removeTree(draft, run)),
      }
    },
    removeUnused: async (isUsed) => {
      for (const id of [...layers.keys()]) {
        // Removing a layer takes a while, in which another layer may have come into use.
        if (isUsed(id) || !layers.delete(id)) continue
        const doomed = join(folder, `${DRAFT_MARK}${randomUUID()}`)
        // From the rename on the layer does not exist, even if this process is killed.
        await rename(join(folder, id), doomed)
        await removeTree(doomed, run)
      }
    },
  }
}

/** Returns an id that no other runner has given, so that layers keep their ids when they are moved. */
function newLayerId(): string {
  return [...randomBytes(16)].map((byte) => (byte % 36).toString(36)).join('')
}

async function readLayer(folder: string, id: string): Promise<Layer | undefined> {
  try {
    const record: unknown = JSON.parse(await readFile(join(folder, id, RECORD_FILE), 'utf8'))
    if (Value.Check(LayerRecord, record)) return { id, tree: join(folder, id, TREE), ...narrow(record) }
  } catch {
    // A folder without a readable record is no layer.
  }
  return undefined
}

function narrow({ bytes, blobs }: Static<typeof LayerRecord>): Static<typeof LayerRecord> {
  return { bytes, blobs }
}

async function measure(tree: string, run: RunCommand): Promise<number> {
  const { stdout } = await run(['du', '-s', '-x', '--block-size=1', tree], { deadlineMs: TREE_DEADLINE_MS })
  return Number.parseInt(stdout, 10)
}

async function writeFlushed(path: string, content: string): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  await file.writeFile(content)
  await file.sync()
}
