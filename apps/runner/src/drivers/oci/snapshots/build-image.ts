import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SnapshotSource } from '@atoll/protocol'
import { decompress } from '../archive/decompress.ts'
import { unpackLayer } from '../archive/unpack-layer.ts'
import { HOST_SNAPSHOT } from '../host-snapshot.ts'
import { findBaseImages } from './base-images.ts'
import type { BuildPlan } from './build-program.ts'
import { BUILD_PROGRAM, EXIT_MARK } from './build-program.ts'
import { BUILDER_IDS, configureBuilder } from './builder-config.ts'
import { readImage } from './image-layers.ts'
import { parseImageReference } from './image-reference.ts'
import type { LayerDraft } from './layer-store.ts'
import type { MakeContext, SnapshotContent } from './make-context.ts'
import { roomFor, SnapshotError } from './make-context.ts'
import { createOutputLines } from './output-lines.ts'
import { fetchImage } from './pull-image.ts'
import { packDisk } from './sandbox-files.ts'
import { trySnapshot } from './snapshot-trial.ts'

/** Default limits of a build. */
const BUILD_LIMITS = { cpu: 2, memoryGiB: 2, diskGiB: 20 } as const
const BUILD_PIDS = 2_048
const CHOWN_DEADLINE_MS = 10 * 60_000

type BuildSource = Extract<SnapshotSource, { kind: 'build' }>

/** A build whose context and base images are on disk. */
export interface PreparedBuild {
  build: (context: MakeContext) => Promise<SnapshotContent>
  /** Removes the context and the base images. */
  discard: () => Promise<void>
}

/** Unpacks a build's context and fetches its base images. Throws what both throw. */
export async function prepareBuild(
  context: MakeContext,
  { source, content }: { source: BuildSource; content: AsyncIterable<Buffer> | undefined },
): Promise<PreparedBuild> {
  const draft = await context.layers.draft()
  try {
    const input = join(draft.scratch, 'in')
    await mkdir(join(input, 'images'), { recursive: true })
    if (content !== undefined) await unpackContext(context, content, draft)
    const written = findBaseImages(source.dockerfile)
    const images = written.map((reference) => ({ written: reference, name: parseImageReference(reference).name }))
    for (const [number, reference] of written.entries()) {
      const layout = join(input, 'images', String(number))
      await fetchImage(context, { reference, registries: source.registries, layout, scratch: draft.scratch })
    }
    await writeFile(join(input, 'Dockerfile'), source.dockerfile)
    await writeFile(join(input, 'plan.json'), JSON.stringify({ images } satisfies BuildPlan))
    // The build owns its input, so that it may read files of any mode.
    const owner = `${BUILDER_IDS.first}:${BUILDER_IDS.first}`
    await context.host.run(['chown', '-R', '-h', '-P', owner, input], { deadlineMs: CHOWN_DEADLINE_MS })
    return { build: (building) => runBuild(building, { input, source }), discard: draft.discard }
  } catch (error) {
    await draft.discard()
    throw error
  }
}

async function unpackContext(context: MakeContext, content: AsyncIterable<Buffer>, draft: LayerDraft): Promise<void> {
  const { hasZstd, maxBytes, log, signal } = context
  const target = join(draft.scratch, 'in', 'context')
  const idle = join(draft.scratch, 'idle')
  for (const path of [target, idle]) await mkdir(path)
  // Two jails run at the same time: one unpacks the stream that the other decompresses.
  const second = join(draft.scratch, 'jail')
  await mkdir(second)
  const plain = decompress(content, { jail: second, scratch: idle, hasZstd, signal })
  const found = await unpackLayer(plain, { kind: 'files', maxBytes, target, jail: draft.jail, signal })
  log.append(`context: ${found.entries} entries`)
}

async function runBuild(
  context: MakeContext,
  { input, source }: { input: string; source: BuildSource },
): Promise<SnapshotContent> {
  const { host, log, signal, sockets } = context
  const snapshot = host.snapshots.get(HOST_SNAPSHOT)
  const arch = process.arch === 'arm64' ? 'arm64' : 'x64'
  if (snapshot === undefined) throw new SnapshotError('the built-in snapshot is not there')
  const limits = { ...BUILD_LIMITS, ...source.limits }
  let exitCode: string | undefined
  const output = createOutputLines({
    take: (line) => {
      if (line.startsWith(EXIT_MARK)) exitCode = line.slice(EXIT_MARK.length)
      else if (line !== '') log.append(line)
    },
    skip: (bytes) => log.skip(bytes),
  })
  const trial = {
    ...{ host, sockets, snapshot, signal },
    command: [...host.injected.nodeCommand, '-e', BUILD_PROGRAM],
    limits: {
      ...limits,
      diskGiB: (await roomFor(host.folders.sandboxes, limits.diskGiB)) / 1024 ** 3,
      pids: BUILD_PIDS,
    },
    network: 'nat' as const,
    configure: configureBuilder({ input, arch }),
    onData: output.push,
  }
  return trySnapshot(trial, async ({ said, folder, record, halt }) => {
    await said
    output.end()
    await halt()
    if (exitCode !== '0') throw new SnapshotError('the build failed: its log says why')
    return await takeImage(context, { folder, record })
  })
}

/** Reads the image from the disk of a build that has ended; the disk may hold anything. */
async function takeImage(context: MakeContext, still: Parameters<typeof packDisk>[1]): Promise<SnapshotContent> {
  const { layers, maxBytes, signal } = context
  const draft = await layers.draft()
  try {
    const files = packDisk(context, still, 'build/out')
    await unpackLayer(files, { kind: 'files', maxBytes, target: draft.tree, jail: draft.jail, signal })
    return await readImage(context, draft.tree, { isChecked: false })
  } finally {
    await draft.discard()
  }
}
