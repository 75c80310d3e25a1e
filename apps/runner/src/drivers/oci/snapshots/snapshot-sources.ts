import { realpath } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { MakeSnapshot, RunnerAbilities, SnapshotSource } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { PreparedBuild } from './build-image.ts'
import { prepareBuild } from './build-image.ts'
import { assertAllowed, readArchive, readDirectory } from './file-layers.ts'
import { importSnapshot } from './import-snapshot.ts'
import type { MakeContext, SnapshotContent } from './make-context.ts'
import { ContentCutOff } from './make-context.ts'
import { pullImage } from './pull-image.ts'
import type { StillSandbox } from './sandbox-files.ts'
import { readSandbox } from './sandbox-layer.ts'

/** The folders and sandboxes that snapshots may be made from, and the host's abilities. */
export interface SnapshotSourcesOptions {
  abilities: RunnerAbilities
  /** Folders of the host whose content may become a snapshot; absolute. */
  directories: readonly string[]
  /** Calls `use` with a sandbox that does not change meanwhile. Throws SANDBOX_NOT_FOUND. */
  withStillSandbox: <Result>(sandboxId: string, use: (sandbox: StillSandbox) => Promise<Result>) => Promise<Result>
  /** Returns the content a sandbox was made from. Throws SANDBOX_NOT_FOUND and what `layersOf` of the snapshots throws. */
  originOf: (sandboxId: string) => SnapshotContent
}

/** Gets the content of snapshots from their sources. */
export interface SnapshotSources {
  readonly hasZstd: boolean
  needsContent(source: SnapshotSource): boolean
  /** Throws RUNNER_INCAPABLE, FORBIDDEN, SANDBOX_NOT_FOUND or BAD_REQUEST for a source that cannot work here. */
  assertPossible(wanted: MakeSnapshot): Promise<void>
  /** Gets the content of a source. Throws ContentCutOff, and the errors of that kind of source. */
  gather(
    context: MakeContext,
    given: { source: SnapshotSource; content: Readable | undefined },
  ): Promise<SnapshotContent | PreparedBuild>
}

export function createSnapshotSources(options: SnapshotSourcesOptions): SnapshotSources {
  const { abilities, directories } = options
  return {
    hasZstd: abilities.zstd.available,
    needsContent: (source) =>
      source.kind === 'archive' || source.kind === 'import' || (source.kind === 'build' && source.hasContext),
    assertPossible: async ({ source }) => {
      if (source.kind === 'image') assertAble(abilities.images)
      if (source.kind === 'build') assertAble(abilities.builds)
      if (source.kind === 'sandbox') options.originOf(source.sandboxId)
      if (source.kind === 'directory') {
        await assertAllowed(await realpath(source.path).catch(() => source.path), directories)
      }
    },
    gather: async (context, { source, content }) => {
      const stream = content === undefined ? noContent() : wholeContent(content, context.signal)
      switch (source.kind) {
        case 'archive':
          return readArchive(context, stream)
        case 'import':
          return importSnapshot(context, stream)
        case 'directory':
          return readDirectory(context, { path: source.path, allowed: directories })
        case 'sandbox':
          return readSandbox(context, { sandboxId: source.sandboxId, ...options })
        case 'image':
          return pullImage(context, source)
        case 'build':
          return prepareBuild(context, { source, content: source.hasContext ? stream : undefined })
      }
    },
  }
}

/** Returns the text that tells one source from another; it leaves out credentials, which may have been renewed. */
export function comparableSource({ source, maxSizeGiB }: MakeSnapshot): string {
  const { registries: _, ...rest } = 'registries' in source ? source : { ...source, registries: [] }
  const sorted = Object.entries(rest).sort(([one], [other]) => one.localeCompare(other))
  return JSON.stringify([sorted, maxSizeGiB ?? null])
}

function assertAble(ability: RunnerAbilities['images']): void {
  if (ability.available) return
  throw new AppError('RUNNER_INCAPABLE', `this runner cannot: ${ability.reason ?? 'its host lacks what it takes'}`)
}

async function* noContent(): AsyncGenerator<Buffer> {
  // This kind of source has no content.
}

/** Yields the bytes of a content; reading throws ContentCutOff when the stream breaks off, and when `signal` aborts. */
async function* wholeContent(content: Readable, signal: AbortSignal): AsyncGenerator<Buffer> {
  // A silent sender must not keep the reader from ending.
  const giveUp = () => content.destroy(new Error('given up'))
  signal.addEventListener('abort', giveUp)
  if (signal.aborted) giveUp()
  try {
    for await (const chunk of content) yield chunk
  } catch (cause) {
    throw new ContentCutOff('the content was cut off', { cause })
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}
